package daemon

import (
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"testing"

	"uvs/control"
	"uvs/internal/hostnet"
)

// fakeHost has the addresses that were added, and refuses some.
type fakeHost struct {
	have   []netip.Prefix
	refuse map[netip.Prefix]error
}

func (h *fakeHost) AddAddress(a hostnet.Address) error {
	if err := h.refuse[a.Prefix]; err != nil {
		return err
	}
	h.have = append(h.have, a.Prefix)
	return nil
}

func (h *fakeHost) DeleteAddress(a hostnet.Address) error {
	if err := h.refuse[a.Prefix]; err != nil {
		return err
	}
	h.have = slices.DeleteFunc(h.have, func(p netip.Prefix) bool { return p == a.Prefix })
	return nil
}

// The addresses of these tests are on lo, which is not probed.
func loopback() *hostnet.Snapshot {
	return hostnet.NewSnapshot([]hostnet.Link{{Index: 1, Name: "lo", Loopback: true, Admin: true, Up: true}}, nil, nil, nil)
}

func onLoopback(prefixes ...string) []addressPlan {
	var plans []addressPlan
	for _, p := range prefixes {
		plans = append(plans, addressPlan{instance: "VI", device: "lo", prefix: netip.MustParsePrefix(p)})
	}
	return plans
}

func testAddresses(t *testing.T, h *fakeHost, dir runDir) (*addresses, *int) {
	t.Helper()
	told := 0
	a := newAddresses(slog.New(slog.NewTextHandler(io.Discard, nil)), h, dir, func() { told++ })
	if err := a.recall(); err != nil {
		t.Fatal(err)
	}
	return a, &told
}

// TestAddressesAfterACrash: the next run adopts what it wants, removes what it does not
// want, and what cannot be removed stays on the list.
func TestAddressesAfterACrash(t *testing.T) {
	dir, host := runDir(t.TempDir()), &fakeHost{refuse: map[netip.Prefix]error{}}
	crashed, _ := testAddresses(t, host, dir)
	if err := crashed.bring(t.Context(), loopback(), onLoopback("192.0.2.10/32", "192.0.2.11/32")); err != nil {
		t.Fatal(err)
	}
	next, _ := testAddresses(t, host, dir)
	if err := next.bring(t.Context(), loopback(), onLoopback("192.0.2.11/32", "192.0.2.12/32")); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(host.have, netip.MustParsePrefix("192.0.2.10/32")) {
		t.Errorf("the host has %v, want the old run's own address gone", host.have)
	}
	stuck := netip.MustParsePrefix("192.0.2.12/32")
	host.refuse[stuck] = errors.New("no")
	if err := next.remove(loopback()); err == nil {
		t.Error("an address that could not be removed gave no error")
	}
	left, err := dir.ownedAddresses()
	if err != nil || len(left) != 1 || left[0].Prefix != stuck {
		t.Errorf("on the list is %v (%v), want %s", left, err, stuck)
	}
	delete(host.refuse, stuck)
	if err := next.remove(loopback()); err != nil {
		t.Fatal(err)
	}
	if left, err := dir.ownedAddresses(); left != nil || err != nil || len(host.have) != 0 {
		t.Errorf("left on the list %v (%v), on the host %v; want nothing", left, err, host.have)
	}
}

// TestRefusedAddresses are not ours, not on the list, and no longer wanted.
func TestRefusedAddresses(t *testing.T) {
	dir := runDir(t.TempDir())
	host := &fakeHost{refuse: map[netip.Prefix]error{
		netip.MustParsePrefix("192.0.2.10/32"): hostnet.ErrExists,
		netip.MustParsePrefix("192.0.2.11/32"): errors.New("no"),
	}}
	a, told := testAddresses(t, host, dir)
	plans := onLoopback("192.0.2.10/32", "192.0.2.11/32", "192.0.2.12/32")
	a.plan(plans)
	if got := a.wantedOn(loopback()); len(got) != 3 {
		t.Errorf("before they are brought %d are wanted, want 3", len(got))
	}
	if err := a.bring(t.Context(), loopback(), plans); err != nil {
		t.Fatal(err)
	}
	var states []control.AddressState
	for _, s := range a.list() {
		states = append(states, s.State)
	}
	if want := []control.AddressState{control.AddressPresent, control.AddressFailed, control.AddressAdded}; !slices.Equal(states, want) {
		t.Errorf("states %v, want %v", states, want)
	}
	if left, _ := dir.ownedAddresses(); len(left) != 1 || left[0].Prefix != plans[2].prefix {
		t.Errorf("on the list is %v, want only what was added", left)
	}
	if *told != 1 || !a.refusedChanged() || a.refusedChanged() {
		t.Errorf("the reconciler was told %d times, want once, and one change seen", *told)
	}
	if got := a.wantedOn(loopback()); len(got) != 2 {
		t.Errorf("%d addresses are wanted, want 2: the one that failed is not", len(got))
	}
}
