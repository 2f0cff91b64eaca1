package daemon

import (
	"net/netip"

	"testing"

	"uvs/config"
)

// TestSharedHoldings: what two owners list stays until neither has it.
func TestSharedHoldings(t *testing.T) {
	ofBoth := func(instances ...string) (p holdingPlan) {
		for n, name := range instances {
			pos := config.Pos{Line: n}
			a := ofVI("192.0.2.10/32").addresses[0]
			a.instance = name
			p.addresses = append(p.addresses, a)
			p.routes = append(p.routes, routePlan{name, config.Route{Pos: pos, Type: 1, Dest: netip.MustParsePrefix("198.51.100.0/24"), Device: "lo"}})
			p.rules = append(p.rules, rulePlan{name, config.Rule{Pos: pos, Table: 100, SuppressPrefixLength: -1, SuppressGroup: -1}})
		}
		return p
	}
	host := &fakeHost{}
	h := testHoldings(t, host, runDir(t.TempDir()), ofBoth("A", "B"))
	begin := func() {
		t.Helper()
		h.begin("A", "B")
		h.take(host.snapshot(), "A")
		h.take(host.snapshot(), "B")
		wantHost(t, host, "with two owners", "192.0.2.10/32")
		host.others = nil
	}
	begin()
	if err := h.give(host.snapshot(), "A"); err != nil || len(host.others) != 0 {
		t.Errorf("the first gives %q (%v), want nothing", host.others, err)
	}
	wantHost(t, host, "with one owner", "192.0.2.10/32")
	if err := h.give(host.snapshot(), "B"); err != nil || len(host.others) != 2 {
		t.Errorf("the last gives %q (%v), want a route and a rule", host.others, err)
	}
	wantHost(t, host, "without owner")

	begin()
	if err := h.setPlan(host.snapshot(), ofBoth("B")); err != nil || len(host.others) != 0 {
		t.Errorf("a reload without A changes %q (%v), want nothing", host.others, err)
	}
	wantHost(t, host, "after a reload without A", "192.0.2.10/32")
	if err := h.setPlan(host.snapshot(), ofBoth("C")); err != nil || len(host.others) != 2 {
		t.Errorf("a reload without owners changes %q (%v)", host.others, err)
	}
}
