//go:build netns

package steer_test

import (
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
	"uvs/internal/steer"
)

// TestClsactQdiscOfOthers: our qdisc stays with whom uses it, and everybody's stays anyway.
func TestClsactQdiscOfOthers(t *testing.T) {
	netlab.Require(t)
	h := hostWithLink(t)
	eth0 := index(t, h, "eth0")
	someones := foreignProgram(t, "someones_filter", tcxNext)
	s := open(t, h, steer.Clsact)
	qdisc := func() bool { return strings.Contains(labtest.Run(t, h, "tc", "qdisc"), "clsact") }

	apply(t, h, s, testRules(eth0))
	inside(t, h, func() error { return addFilter(eth0, netlink.HANDLE_MIN_EGRESS, someones) })
	inside(t, h, s.Remove)
	if !qdisc() {
		t.Error("our qdisc went although somebody has a filter in it")
	}
	// Now it is somebody's, empty or not.
	apply(t, h, s, testRules(eth0))
	labtest.Run(t, h, "tc", "filter", "del", "dev", "eth0", "egress")
	inside(t, h, s.Remove)
	if !qdisc() {
		t.Error("somebody's qdisc went with our filter")
	}
	labtest.Run(t, h, "tc", "qdisc", "del", "dev", "eth0", "clsact")

	// The older qdisc takes our filter as well.
	labtest.Run(t, h, "tc", "qdisc", "add", "dev", "eth0", "ingress")
	before := dump(t, h)
	apply(t, h, s, testRules(eth0))
	if d := dump(t, h); !strings.Contains(d, "handle 0x75760001 uvs_steer ") {
		t.Errorf("no filter in a qdisc of somebody else:\n%s", d)
	}
	inside(t, h, s.Remove)
	if after := dump(t, h); after != before {
		t.Errorf("filters before:\n%s\nafter Remove:\n%s", before, after)
	}

	// A filter of another kind that cannot be passed is an error that says so.
	inside(t, h, func() error { return addFilterFor(0x0800, eth0, netlink.HANDLE_MIN_INGRESS, someones) })
	err := h.Do(func() error { return s.Apply(testRules(eth0)) })
	if err == nil || !strings.Contains(err.Error(), "a filter of another kind has preference 1") {
		t.Errorf("behind a filter with preference 1: %v", err)
	}
}
