package forwarding

import "sync/atomic"

const (
	// scratchBytes bounds the frames that a worker makes itself between two flushes.
	scratchBytes = 1 << 20
	// scratchReserve is what a frame of 64 KiB needs at the most when it is cut into the
	// smallest fragments that IPv4 knows, 1366 with 34 bytes of headers each, or into the smallest
	// segments that Linux sends (TCP_MIN_SND_MSS), as many with 134 bytes of headers in a
	// tunnel. With less than that left the worker flushes before it looks at another frame.
	scratchReserve = 256 << 10
	// wholeBytes holds a frame with the longest IP packet there is.
	wholeBytes = 64<<10 + 64
)

// A scratch is the memory of the frames that a worker makes itself: errors, resets,
// fragments, and datagrams put together from fragments. It is given out from front to back
// and taken back as a whole, once all frames in it have been sent. It belongs to one worker.
type scratch struct {
	memory []byte
	used   int
	whole  []byte // one segment of a GSO frame on its way to become fragments
}

func newScratch() scratch {
	return scratch{memory: make([]byte, scratchBytes), whole: make([]byte, wholeBytes)}
}

// take returns n bytes, whose content is left from earlier, or nil if there are no more.
func (s *scratch) take(n int) []byte {
	if len(s.memory)-s.used < n {
		return nil
	}
	b := s.memory[s.used : s.used+n : s.used+n]
	s.used += n
	return b
}

// free returns how many bytes are left.
func (s *scratch) free() int { return len(s.memory) - s.used }

// low reports whether the next frame may find too little.
func (s *scratch) low() bool { return s.free() < scratchReserve }

// reset takes everything back.
func (s *scratch) reset() { s.used = 0 }

// A Made is a kind of frame that workers make themselves.
type Made uint8

// The kinds of frames that workers make.
const (
	MadeTimeExceeded Made = iota // ICMP: the hop limit ran out here
	MadeUnreachable              // ICMP: no server is available
	MadeTooBig                   // ICMP: fragmentation needed, packet too big
	MadeReset                    // TCP: there is no such connection
	MadeAbort                    // SCTP: there is no such association
	MadeProbe                    // TCP: where are you, of a connection that is to be reset
	MadeFragment                 // fragments of packets that do not fit the next hop
	MadeSegment                  // segments of merged frames, each in a tunnel's packet of its own
	// MadeSuppressed counts the errors and resets that were not sent because there were too
	// many of late.
	MadeSuppressed
	madeCount
)

var madeNames = [madeCount]string{
	MadeTimeExceeded: "icmp_time_exceeded",
	MadeUnreachable:  "icmp_unreachable",
	MadeTooBig:       "icmp_too_big",
	MadeReset:        "tcp_reset",
	MadeAbort:        "sctp_abort",
	MadeProbe:        "tcp_probe",
	MadeFragment:     "fragment",
	MadeSegment:      "tunnel_segment",
	MadeSuppressed:   "suppressed",
}

// String returns the kind's name in status and metrics, such as "icmp_too_big".
func (m Made) String() string { return madeNames[m] }

// madeCounters count frames of a worker's own making. One worker writes.
type madeCounters [madeCount]atomic.Uint64

func (c *madeCounters) add(m Made) { c[m].Add(1) }
