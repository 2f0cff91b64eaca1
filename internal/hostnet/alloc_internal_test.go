//go:build !race

package hostnet

import (
	"net/netip"
	"testing"
)

func TestNoAllocs(t *testing.T) {
	s := large(t).last
	dst, local := nth(7), netip.MustParseAddr("192.0.2.1")
	var hop Hop
	if n := testing.AllocsPerRun(100, func() {
		r, _ := s.Lookup(dst)
		hop = r.Hop(12345)
		_, _ = s.Neighbour(hop.Link, dst)
		_, _ = s.LinkByIndex(hop.Link)
		_ = s.IsLocal(local)
	}); n != 0 {
		t.Errorf("%v allocations in a lookup, want 0", n)
	}
}
