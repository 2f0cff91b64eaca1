package health_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uvs/health"
)

// TestConnectTimeout needs a listener that completes no handshake: one whose accept
// queue is full.
func TestConnectTimeout(t *testing.T) {
	to := fullListener(t)
	for _, kind := range []health.Kind{health.TCP, health.HTTP} {
		begun := time.Now()
		o := probe(t, health.Check{Kind: kind, Target: to, ConnectTimeout: 50 * ms})
		wantOutcome(t, o, health.Failure, health.ConnectTimeout)
		if took := time.Since(begun); took < 50*ms || took > 2*s {
			t.Errorf("%v: took %v, want some 50ms", kind, took)
		}
	}
}

// fullListener returns the address of a listener that answers no further SYN: its
// accept queue has room for one connection, and holds it.
func fullListener(t *testing.T) netip.AddrPort {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(sa.(*unix.SockaddrInet4).Port))
	conn, err := net.Dial("tcp4", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return to
}
