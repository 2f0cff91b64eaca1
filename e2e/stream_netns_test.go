//go:build netns

package e2e

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// A stream is datagrams that a client sends to a service that echoes them, one each
// millisecond. Safe for use by many goroutines.
type stream struct {
	t    *testing.T
	conn net.PacketConn
	quit chan struct{}
	wg   sync.WaitGroup

	mu       sync.Mutex  // guards what follows
	sent     []time.Time // of each datagram
	answered []bool
	answers  int
}

// startStream sends until stop or the end of the test.
func startStream(t *testing.T, from *netlab.Host, to netip.AddrPort) *stream {
	t.Helper()
	conn, err := from.ListenPacket(t.Context(), "udp", netip.AddrPortFrom(from.Addr4("eth0"), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{t: t, conn: conn, quit: make(chan struct{})}
	s.wg.Go(func() { s.send(net.UDPAddrFromAddrPort(to)) })
	s.wg.Go(s.receive)
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *stream) send(to net.Addr) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-tick.C:
		}
		var b [8]byte
		s.mu.Lock()
		binary.BigEndian.PutUint64(b[:], uint64(len(s.sent)))
		s.sent = append(s.sent, time.Now())
		s.answered = append(s.answered, false)
		s.mu.Unlock()
		s.conn.WriteTo(b[:], to) //nolint:errcheck // one that is not sent is not answered
	}
}

// receive notes answers, which end with what was sent.
func (s *stream) receive() {
	b := make([]byte, 256)
	for {
		n, _, err := s.conn.ReadFrom(b)
		if err != nil {
			return
		}
		if n < 8 {
			continue
		}
		number := binary.BigEndian.Uint64(b[n-8 : n])
		s.mu.Lock()
		if number < uint64(len(s.answered)) && !s.answered[number] {
			s.answered[number] = true
			s.answers++
		}
		s.mu.Unlock()
	}
}

// waitAnswers waits for so many answers to what is sent from now on.
func (s *stream) waitAnswers(n int) {
	s.t.Helper()
	s.mu.Lock()
	from := len(s.answered)
	s.mu.Unlock()
	labtest.Eventually(s.t, labtest.Hang, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		have := 0
		for _, ok := range s.answered[from:] {
			if ok {
				have++
			}
		}
		if have < n {
			return fmt.Errorf("%d answers, want %d", have, n)
		}
		return nil
	})
}

// stop ends the stream and returns the longest time for which datagrams were sent in vain: from
// the first without an answer to the next that has one. What is lost on either end because
// nobody had the CPU counts as well.
func (s *stream) stop() (gap time.Duration) {
	select {
	case <-s.quit:
	default:
		close(s.quit)
		s.conn.Close() //nolint:errcheck // it ends the goroutines
	}
	s.wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.answered) - 1
	for last > 0 && !s.answered[last] {
		last-- // under way at the end
	}
	for n := 0; n <= last; {
		if s.answered[n] {
			n++
			continue
		}
		next := n + slices.Index(s.answered[n:], true)
		gap = max(gap, s.sent[next].Sub(s.sent[n]))
		n = next
	}
	return gap
}
