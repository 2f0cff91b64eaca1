package daemon

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"uvs/config"
	"uvs/control"
	"uvs/internal/hostnet"
)

// fakeHost is a host with one interface, lo. It has the addresses that were added, and
// refuses some.
type fakeHost struct {
	have    []netip.Prefix
	changes int
	others  []string // what was done to routes and rules
	refuse  map[netip.Prefix]error
}

// Do implements changer.
func (h *fakeHost) Do(changes ...hostnet.Change) []error {
	errs := make([]error, len(changes))
	for n, c := range changes {
		h.changes++
		switch c := c.(type) {
		case hostnet.AddAddress:
			errs[n] = h.add(c.Prefix)
		case hostnet.DeleteAddress:
			errs[n] = h.remove(c.Prefix)
		case hostnet.AddRoute, hostnet.DeleteRoute, hostnet.AddRule, hostnet.DeleteRule:
			h.others = append(h.others, c.String())
		default:
			errs[n] = errors.New("unexpected " + c.String())
		}
	}
	return errs
}

func (h *fakeHost) add(p netip.Prefix) error {
	if err := h.refuse[p]; err != nil {
		return err
	}
	if slices.Contains(h.have, p) {
		return hostnet.ErrExists
	}
	h.have = append(h.have, p)
	return nil
}

func (h *fakeHost) remove(p netip.Prefix) error {
	if err := h.refuse[p]; err != nil {
		return err
	}
	if !slices.Contains(h.have, p) {
		return hostnet.ErrNoAddress
	}
	h.have = slices.DeleteFunc(h.have, func(x netip.Prefix) bool { return x == p })
	return nil
}

func (h *fakeHost) snapshot() *hostnet.Snapshot {
	var list []hostnet.Address
	for _, p := range h.have {
		list = append(list, hostnet.Address{Link: 1, Prefix: p})
	}
	return hostnet.NewSnapshot([]hostnet.Link{{Index: 1, Name: "lo", Loopback: true, Admin: true, Up: true}}, list, nil, nil)
}

func ofVI(prefixes ...string) holdingPlan {
	var p holdingPlan
	for _, x := range prefixes {
		prefix := netip.MustParsePrefix(x)
		p.addresses = append(p.addresses, addressPlan{instance: "VI", device: "lo", prefix: prefix, spec: config.Address{Prefix: prefix, Device: "lo"}})
	}
	return p
}

func testHoldings(t *testing.T, host *fakeHost, dir runDir, p holdingPlan) *holdings {
	t.Helper()
	h := newHoldings(slog.New(slog.NewTextHandler(io.Discard, nil)), host, newLinkNames(), dir)
	if err := h.recall(); err != nil {
		t.Fatal(err)
	}
	if err := h.setPlan(host.snapshot(), p); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *holdings) own(host *fakeHost) {
	h.begin("VI")
	h.take(host.snapshot(), "VI")
}

func wantHost(t *testing.T, host *fakeHost, when string, want ...string) {
	t.Helper()
	var have []string
	for _, p := range host.have {
		have = append(have, p.String())
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("%s the host has %v, want %v", when, have, want)
	}
}

// TestHoldingsFollowTheInstance: what an instance owns comes and goes with it, what is static
// is always there.
func TestHoldingsFollowTheInstance(t *testing.T) {
	dir, host := runDir(t.TempDir()), &fakeHost{}
	plan := ofVI("192.0.2.10/32")
	plan.addresses = append(plan.addresses, addressPlan{device: "lo", prefix: netip.MustParsePrefix("192.0.2.1/32"),
		spec: config.Address{Prefix: netip.MustParsePrefix("192.0.2.1/32"), Device: "lo"}})
	h := testHoldings(t, host, dir, plan)
	h.take(host.snapshot(), "")
	h.take(host.snapshot(), "VI") // it is no owner
	wantHost(t, host, "as a backup", "192.0.2.1/32")
	if got := len(h.wantedOn(host.snapshot())); got != 1 {
		t.Errorf("as a backup %d addresses are wanted, want the static one", got)
	}
	h.begin("VI")
	if got := len(h.wantedOn(host.snapshot())); got != 2 {
		t.Errorf("before a takeover %d addresses are wanted, want both", got)
	}
	h.take(host.snapshot(), "VI")
	wantHost(t, host, "as a master", "192.0.2.1/32", "192.0.2.10/32")
	if err := h.give(host.snapshot(), "VI"); err != nil {
		t.Fatal(err)
	}
	wantHost(t, host, "as a backup again", "192.0.2.1/32")
	if err := h.remove(host.snapshot()); err != nil {
		t.Fatal(err)
	}
	wantHost(t, host, "at the end")
}

// TestHoldingsAfterACrash: what is wanted stays until the instance owns it or hears a master;
// what is not wanted goes at once, and what cannot be removed stays on the list.
func TestHoldingsAfterACrash(t *testing.T) {
	dir, host := runDir(t.TempDir()), &fakeHost{refuse: map[netip.Prefix]error{}}
	testHoldings(t, host, dir, ofVI("192.0.2.10/32", "192.0.2.11/32")).own(host)
	next := testHoldings(t, host, dir, ofVI("192.0.2.11/32", "192.0.2.12/32"))
	wantHost(t, host, "after the restart", "192.0.2.11/32")
	next.own(host)
	wantHost(t, host, "as a master", "192.0.2.11/32", "192.0.2.12/32")
	for _, a := range next.list() {
		if a.State != control.AddressAdded {
			t.Errorf("status has %s as %s", a.Address, a.State)
		}
	}
	stuck := netip.MustParsePrefix("192.0.2.12/32")
	host.refuse[stuck] = errors.New("no")
	if err := next.remove(host.snapshot()); err == nil {
		t.Error("an address that could not be removed gave no error")
	}
	left, err := dir.ownedAddresses()
	if err != nil || len(left) != 1 || left[0].Prefix != stuck {
		t.Errorf("on the list is %v (%v), want %s", left, err, stuck)
	}
	// The next run hears a master before it owns anything.
	delete(host.refuse, stuck)
	last := testHoldings(t, host, dir, ofVI("192.0.2.12/32"))
	wantHost(t, host, "before a master is heard", "192.0.2.12/32")
	if err := last.give(host.snapshot(), "VI"); err != nil {
		t.Fatal(err)
	}
	wantHost(t, host, "when a master is heard")
	if left, err := dir.ownedAddresses(); left != nil || err != nil {
		t.Errorf("left on the list %v (%v), want nothing", left, err)
	}
}

// TestAddressesOfOthers are not ours and stay; one that is refused is no longer wanted.
func TestAddressesOfOthers(t *testing.T) {
	dir := runDir(t.TempDir())
	host := &fakeHost{have: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/32")}, refuse: map[netip.Prefix]error{
		netip.MustParsePrefix("192.0.2.11/32"): errors.New("no"),
	}}
	plan := ofVI("192.0.2.10/32", "192.0.2.11/32", "192.0.2.12/32")
	h := testHoldings(t, host, dir, plan)
	h.own(host)
	var states []control.AddressState
	for _, s := range h.list() {
		states = append(states, s.State)
	}
	if want := []control.AddressState{control.AddressPresent, control.AddressFailed, control.AddressAdded}; !slices.Equal(states, want) {
		t.Errorf("states %v, want %v", states, want)
	}
	if left, _ := dir.ownedAddresses(); len(left) != 1 || left[0].Prefix != plan.addresses[2].prefix {
		t.Errorf("on the list is %v, want only what was added", left)
	}
	if got := h.wantedOn(host.snapshot()); len(got) != 2 {
		t.Errorf("%d addresses are wanted, want 2: the one that failed is not", len(got))
	}
	if err := h.remove(host.snapshot()); err != nil {
		t.Fatal(err)
	}
	wantHost(t, host, "at the end", "192.0.2.10/32")
}

// TestHoldingsAreIncomplete: what disappears from an owner is noticed, what was never there
// is not waited for.
func TestHoldingsAreIncomplete(t *testing.T) {
	host := &fakeHost{refuse: map[netip.Prefix]error{netip.MustParsePrefix("192.0.2.11/32"): errors.New("no")}}
	h := testHoldings(t, host, runDir(t.TempDir()), ofVI("192.0.2.10/32", "192.0.2.11/32"))
	if got := h.incomplete(host.snapshot()); len(got) != 0 {
		t.Errorf("a backup lacks %v", got)
	}
	h.own(host)
	if got := h.incomplete(host.snapshot()); len(got) != 0 {
		t.Errorf("a master lacks %v", got)
	}
	host.have = nil
	if got := h.incomplete(host.snapshot()); got["VI"] != "192.0.2.10/32 on lo" {
		t.Errorf("after an address was deleted VI lacks %v", got)
	}
	before := host.changes
	h.take(host.snapshot(), "VI")
	wantHost(t, host, "after it was put back", "192.0.2.10/32")
	if host.changes == before {
		t.Error("nothing was changed")
	}
}

// TestReloadOfHoldings: what a plan will bring is steered for before it is set, and nothing is
// left of one that is not set after all.
func TestReloadOfHoldings(t *testing.T) {
	dir, host := runDir(t.TempDir()), &fakeHost{}
	old, next := ofVI("192.0.2.10/32", "192.0.2.11/32"), ofVI("192.0.2.11/32", "192.0.2.12/32")
	h := testHoldings(t, host, dir, old)
	h.own(host)
	has := func(when string, want bool) {
		t.Helper()
		coming := netip.MustParsePrefix("192.0.2.12/32")
		for what, list := range map[string][]hostnet.Address{"wanted": h.wantedOn(host.snapshot()), "planned": h.plannedOn(host.snapshot())} {
			if got := slices.ContainsFunc(list, func(a hostnet.Address) bool { return a.Prefix == coming }); got != want {
				t.Errorf("%s %s is %s: %t", when, coming, what, got)
			}
		}
	}
	h.expect(next.addresses)
	has("while a plan is prepared", true)
	h.expect(nil)
	has("when it was refused", false)
	wantHost(t, host, "when it was refused", "192.0.2.10/32", "192.0.2.11/32")
	h.expect(next.addresses)
	if err := h.setPlan(host.snapshot(), next); err != nil {
		t.Error(err)
	}
	wantHost(t, host, "when it is set", "192.0.2.11/32")
	h.take(host.snapshot(), "VI")
	wantHost(t, host, "when it is taken", "192.0.2.11/32", "192.0.2.12/32")
}

// TestHoldingsComeBackAtOnce: what a snapshot still has of an address that we have just
// removed, with whatever prefix, is not somebody else's.
func TestHoldingsComeBackAtOnce(t *testing.T) {
	host := &fakeHost{}
	h := testHoldings(t, host, runDir(t.TempDir()), ofVI("192.0.2.10/32"))
	h.own(host)
	behind := host.snapshot()
	if err := h.give(behind, "VI"); err != nil {
		t.Fatal(err)
	}
	h.begin("VI")
	h.take(behind, "VI")
	wantHost(t, host, "after master, backup, master", "192.0.2.10/32")
	if err := h.setPlan(behind, ofVI("192.0.2.10/24")); err != nil {
		t.Fatal(err)
	}
	h.take(behind, "VI")
	wantHost(t, host, "with another prefix", "192.0.2.10/24")
}

// TestHoldingsWaitForTheirDevice: an address is put on a device that comes later.
func TestHoldingsWaitForTheirDevice(t *testing.T) {
	host := &fakeHost{}
	h := testHoldings(t, host, runDir(t.TempDir()), ofVI("192.0.2.10/32"))
	none := hostnet.NewSnapshot(nil, nil, nil, nil)
	h.begin("VI")
	h.take(none, "VI")
	wantHost(t, host, "without the device")
	if got := h.incomplete(none); len(got) != 0 {
		t.Errorf("without the device VI lacks %v, want what cannot be had not missed", got)
	}
	if len(h.wantedOn(host.snapshot())) != 1 {
		t.Error("with the device nothing is steered before the address is there")
	}
	if got := h.incomplete(host.snapshot()); got["VI"] != "192.0.2.10/32 on lo" {
		t.Errorf("with the device VI lacks %v", got)
	}
	h.own(host)
	wantHost(t, host, "with the device", "192.0.2.10/32")
	if state := h.list()[0].State; state != control.AddressAdded {
		t.Errorf("status has it as %s", state)
	}
}

// TestReloadMovesAnAddress: one that passes from a master to a backup is not left on the host,
// one that passes to another master stays.
func TestReloadMovesAnAddress(t *testing.T) {
	host := &fakeHost{}
	h := testHoldings(t, host, runDir(t.TempDir()), ofVI("192.0.2.10/32", "192.0.2.11/32", "192.0.2.12/32"))
	h.own(host)
	h.begin("other master")
	moved := ofVI("192.0.2.10/32", "192.0.2.11/32", "192.0.2.12/32")
	moved.addresses[1].instance, moved.addresses[2].instance = "backup", "other master"
	if err := h.setPlan(host.snapshot(), moved); err != nil {
		t.Error(err)
	}
	wantHost(t, host, "after the reload", "192.0.2.10/32", "192.0.2.12/32")
}

// TestReloadLeavesRoutesAlone that are the same as before, wherever they stand in the file.
func TestReloadLeavesRoutesAlone(t *testing.T) {
	plan := func(line int, table uint32) (p holdingPlan) {
		pos := config.Pos{Line: line}
		p.routes = []routePlan{{"VI", config.Route{
			Pos: pos, Type: 1, Dest: netip.MustParsePrefix("198.51.100.0/24"), Device: "lo", Encap: &config.Encap{Kind: "mpls", Labels: []uint32{7}},
		}}}
		p.rules = []rulePlan{{"VI", config.Rule{Pos: pos, Table: table, DestPorts: &config.Range{First: 80, Last: 81}, SuppressPrefixLength: -1, SuppressGroup: -1}}}
		return p
	}
	host := &fakeHost{}
	h := testHoldings(t, host, runDir(t.TempDir()), plan(10, 100))
	h.own(host)
	host.others = nil
	if err := h.setPlan(host.snapshot(), plan(20, 100)); err != nil || len(host.others) != 0 {
		t.Errorf("the same at another line: %q (%v), want nothing done", host.others, err)
	}
	if err := h.setPlan(host.snapshot(), plan(20, 200)); err != nil || len(host.others) != 1 {
		t.Errorf("another rule: %q (%v), want the old one deleted", host.others, err)
	}
}

// TestReloadDuringATakeover: instances take over while a plan is replaced.
func TestReloadDuringATakeover(t *testing.T) {
	host := &fakeHost{}
	plan := ofVI("192.0.2.10/32")
	plan.rules = []rulePlan{{"VI", config.Rule{Table: 100, SuppressPrefixLength: -1, SuppressGroup: -1}}}
	h := testHoldings(t, host, runDir(t.TempDir()), plan)
	s := host.snapshot()
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := range 1000 {
			h.begin(fmt.Sprint(n % 7))
		}
	})
	for range 1000 {
		if err := h.setPlan(s, plan); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}

// TestHoldingsOnARenamedLink are removed all the same.
func TestHoldingsOnARenamedLink(t *testing.T) {
	host := &fakeHost{}
	h := testHoldings(t, host, runDir(t.TempDir()), ofVI("192.0.2.10/32"))
	h.own(host)
	renamed := hostnet.NewSnapshot([]hostnet.Link{{Index: 1, Name: "lan0", Loopback: true, Admin: true, Up: true}}, nil, nil, nil)
	if got := h.incomplete(renamed); got["VI"] == "" {
		t.Error("an address that is missing on a renamed link is not missed")
	}
	if err := h.remove(renamed); err != nil || len(host.have) != 0 {
		t.Errorf("left on the host: %v (%v), want nothing", host.have, err)
	}
}
