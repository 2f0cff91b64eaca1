package health

import (
	"crypto/md5"
	"net/netip"
	"slices"
	"time"
)

// What the absence of a value means, and the bounds that hold whatever a file says.
const (
	// DefaultDelayLoop is used for a DelayLoop that is not positive.
	DefaultDelayLoop = 60 * time.Second
	// DefaultConnectTimeout is used for a ConnectTimeout that is not positive.
	DefaultConnectTimeout = 5 * time.Second
	// MinGap is the least time between the end of a probe and the next probe of the
	// same checker. keepalived has no such floor: with delay_before_retry 0 it sends
	// hundreds of probes a second.
	MinGap = 100 * time.Millisecond
	// StartDelay is what a checker waits before its first probe, on top of the random
	// part of its warm-up.
	StartDelay = time.Second
	// PromptSpread is the time in which the first probes of a list with Prompt begin.
	PromptSpread = time.Second
)

// A Kind says what a checker does. The zero Kind is TCP.
type Kind uint8

// The kinds of checker.
const (
	TCP  Kind = iota // TCP_CHECK: a completed handshake
	HTTP             // HTTP_GET: status code and digest of the answers to GET requests
)

// String returns the word of keepalived.conf: TCP_CHECK or HTTP_GET.
func (k Kind) String() string {
	if k == HTTP {
		return "HTTP_GET"
	}
	return "TCP_CHECK"
}

// A Protocol is what an HTTP checker speaks. The zero Protocol is HTTP10.
type Protocol uint8

// The values of http_protocol.
const (
	HTTP10  Protocol = iota // HTTP/1.0
	HTTP10C                 // HTTP/1.0 with "Connection: close"
	HTTP11                  // HTTP/1.1 with "Connection: close"
)

// A Key names a server: the labels of its virtual service and of itself in keepalived's
// notation, such as "[192.0.2.1]:tcp:80" and "[10.0.0.1]:tcp:80". They appear in
// messages as they are.
type Key struct {
	Service string
	Server  string
}

// A Server is a real server and its checkers. Keys are unique within a list given to
// [Set.Apply]. A Set keeps the slices: nobody may change them any more.
type Server struct {
	Key
	Checks []Check
}

// StartsUp reports whether a server that is new counts as alive before its first probe:
// it does unless one of its checkers has Alpha.
func (s *Server) StartsUp() bool {
	return !slices.ContainsFunc(s.Checks, func(c Check) bool { return c.Alpha })
}

// A Check describes one checker. The zero values of the durations and of Retry mean
// zero, except where noted; the defaults of keepalived.conf are the caller's.
type Check struct {
	Kind   Kind
	Target netip.AddrPort // connect_ip, connect_port

	BindAddr      netip.Addr // bindto; the zero Addr leaves the choice to the kernel
	BindPort      uint16     // bind_port; 0 is any
	BindInterface string     // bind_if; "" is any
	Mark          uint32     // fwmark of the probe's packets; 0 is none

	ConnectTimeout   time.Duration // of each stage and each read; not positive: DefaultConnectTimeout
	Retry            int           // failures in a row that are forgiven while up
	DelayBeforeRetry time.Duration
	DelayLoop        time.Duration // not positive: DefaultDelayLoop
	Warmup           time.Duration // the first probe waits StartDelay and a random part of this
	Prompt           bool          // but that of a new server comes within PromptSpread
	Alpha            bool          // down until a check has succeeded
	LogAllFailures   bool          // an event for each failed probe while up

	// For HTTP only.
	Protocol     Protocol
	FastRecovery bool  // while coming up, go through the urls without waiting DelayLoop
	URLs         []URL // probed in turn; an empty list is one URL with the path "/"
}

// A URL is one request of an HTTP checker and what its answer must be. URLs are
// comparable.
type URL struct {
	Path        string
	VirtualHost string    // the Host header as it stands; "" is the target's address and port
	Digest      Digest    // of the body; the zero Digest accepts any
	Status      StatusSet // the zero set accepts 200 to 299
}

// A Digest is the MD5 sum of a body, as genhash prints it in hexadecimal.
type Digest [md5.Size]byte

// Status codes that can be asked for.
const (
	minStatus = 100
	maxStatus = 599
)

// A StatusSet is a set of status codes from 100 to 599, 64 bytes large. The zero set
// stands for the default, 200 to 299. Sets are comparable.
type StatusSet struct {
	bits [(maxStatus-minStatus)/64 + 1]uint64
}

// Add puts the codes from lo to hi into the set, both included. Codes outside 100 to
// 599 are left out.
func (s *StatusSet) Add(lo, hi int) {
	for code := max(lo, minStatus); code <= min(hi, maxStatus); code++ {
		s.bits[(code-minStatus)/64] |= 1 << ((code - minStatus) % 64)
	}
}

// Has reports whether an answer with this code is good.
func (s *StatusSet) Has(code int) bool {
	if code < minStatus || code > maxStatus {
		return false
	}
	if *s == (StatusSet{}) {
		return code >= 200 && code <= 299
	}
	return s.bits[(code-minStatus)/64]&(1<<((code-minStatus)%64)) != 0
}

// equal reports whether c and d probe the same thing in the same way.
func (c *Check) equal(d *Check) bool {
	return c.Kind == d.Kind && c.Target == d.Target &&
		c.BindAddr == d.BindAddr && c.BindPort == d.BindPort &&
		c.BindInterface == d.BindInterface && c.Mark == d.Mark &&
		c.ConnectTimeout == d.ConnectTimeout && c.Retry == d.Retry &&
		c.DelayBeforeRetry == d.DelayBeforeRetry && c.DelayLoop == d.DelayLoop &&
		c.Warmup == d.Warmup && c.Prompt == d.Prompt && c.Alpha == d.Alpha && c.LogAllFailures == d.LogAllFailures &&
		c.Protocol == d.Protocol && c.FastRecovery == d.FastRecovery &&
		slices.Equal(c.URLs, d.URLs)
}

// delayLoop is the period that holds: the default for none, never under MinGap.
func (c *Check) delayLoop() time.Duration {
	if c.DelayLoop <= 0 {
		return DefaultDelayLoop
	}
	return max(c.DelayLoop, MinGap)
}

// stageTimeout bounds the connect, the request, and each read of the answer.
func (c *Check) stageTimeout() time.Duration {
	if c.ConnectTimeout <= 0 {
		return DefaultConnectTimeout
	}
	return c.ConnectTimeout
}

// probeTimeout bounds a probe as a whole. keepalived has only the timeout per read, so a
// server that drips a byte now and then holds its checker for ever. Twelve stages leave
// a slow but honest answer its time.
func (c *Check) probeTimeout() time.Duration {
	return max(12*c.stageTimeout(), c.delayLoop())
}

// url returns the URL with index i.
func (c *Check) url(i int) URL {
	if len(c.URLs) == 0 {
		return URL{Path: "/"}
	}
	return c.URLs[i]
}
