package announce

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A fakeConn is a packet socket on a wire that the test plays. Frames put into incoming
// are received; sent tells when frames were sent.
type fakeConn struct {
	net.PacketConn
	start    time.Time
	sent     []time.Duration
	incoming chan []byte
	writeErr error
	changed  chan struct{} // the deadline

	mu       sync.Mutex // guards deadline
	deadline time.Time
}

func newFakeConn() *fakeConn {
	return &fakeConn{start: time.Now(), incoming: make(chan []byte, 16), changed: make(chan struct{}, 1)}
}

func (c *fakeConn) WriteTo(b []byte, _ net.Addr) (int, error) {
	c.sent = append(c.sent, time.Since(c.start))
	return len(b), c.writeErr
}

func (c *fakeConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.deadline = t
	c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default:
	}
	return nil
}

func (c *fakeConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		c.mu.Lock()
		deadline := c.deadline
		c.mu.Unlock()
		select {
		case f := <-c.incoming:
			return copy(b, f), nil, nil
		case <-time.After(time.Until(deadline)):
			return 0, nil, &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}
		case <-c.changed:
		}
	}
}

func TestAskKeepsItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn()
		q := newQuestion(Link{Index: 1, MAC: ourMAC}, vip4, true)
		// Chatter that says nothing must neither end nor prolong the probe.
		go func() {
			for range 14 {
				time.Sleep(60 * time.Millisecond)
				conn.incoming <- q.frame
			}
		}()
		_, found, err := ask(t.Context(), conn, q, ProbeOptions{}.withDefaults())
		if found || err != nil {
			t.Errorf("found %v, %v; want neither", found, err)
		}
		if total := time.Since(conn.start); total != 750*time.Millisecond {
			t.Errorf("took %v, want 750ms", total)
		}
		if len(conn.sent) != 3 || conn.sent[1] != 250*time.Millisecond || conn.sent[2] != 500*time.Millisecond {
			t.Errorf("probes at %v, want 0, 250ms, 500ms", conn.sent)
		}
		time.Sleep(time.Second) // the chatter ends
	})
}

func TestAskReturnsAtTheFirstAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn()
		q := newQuestion(Link{Index: 1, MAC: ourMAC}, vip6, true)
		go func() {
			time.Sleep(300 * time.Millisecond)
			conn.incoming <- announcement(Link{Index: 1, MAC: otherMAC}, vip6, false)
		}()
		owner, found, err := ask(t.Context(), conn, q, ProbeOptions{}.withDefaults())
		if !found || err != nil || owner.String() != hardwareAddr(otherMAC).String() {
			t.Errorf("got %s, %v, %v; want %s", owner, found, err, hardwareAddr(otherMAC))
		}
		if took := time.Since(conn.start); took != 300*time.Millisecond {
			t.Errorf("took %v, want 300ms", took)
		}
	})
}

func TestAskEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, found, err := ask(ctx, conn, newQuestion(Link{Index: 1, MAC: ourMAC}, vip4, true), ProbeOptions{}.withDefaults())
		if found || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, %v; want the context's error", found, err)
		}
		if took := time.Since(conn.start); took != 100*time.Millisecond {
			t.Errorf("took %v, want 100ms", took)
		}
	})
}

func TestAskReportsADeadDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn()
		conn.writeErr = errors.New("network is down")
		_, found, err := ask(t.Context(), conn, newQuestion(Link{Index: 1, MAC: ourMAC}, vip4, true), ProbeOptions{}.withDefaults())
		if found || !errors.Is(err, conn.writeErr) {
			t.Errorf("got %v, %v; want the error of the device", found, err)
		}
	})
}
