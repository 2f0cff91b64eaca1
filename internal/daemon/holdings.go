package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"uvs/config"
	"uvs/internal/hostnet"
)

// A changer does what is to be done to the host, all at once: a hostnet.Actor, but in tests.
// The errors are one for each change, nil if it was done.
type changer interface {
	Do(changes ...hostnet.Change) []error
}

// holdings look after what the instances of VRRP own on the host: virtual addresses, routes
// and rules. An instance owns its own from a takeover until it yields; what is static belongs
// to the instance "", which owns always. What disappears meanwhile is put back. Addresses are
// on disk before they are on an interface, so that the next run knows what a crash left.
//
// What a crash left stays in use until its instance owns it again, or hears that another
// router does: a director that is alone serves on while it waits whether it is.
type holdings struct {
	log   *slog.Logger
	host  changer
	links *linkNames
	dir   runDir
	retry chan struct{} // holds one: something may have disappeared

	// bare: no address is put on an interface, and answerers speak for them instead. Set
	// before anything else is called.
	bare bool

	acts sync.Mutex // held while the host is changed; taken before mu

	mu      sync.Mutex // guards what follows
	plan    holdingPlan
	coming  []addressPlan // of a plan that is about to be set; steering and capture come before it
	owners  map[string]bool
	owned   []ownedAddress
	written []ownedAddress             // as owned is on disk
	present map[ownedAddress]bool      // there before us, not ours
	failed  map[ownedAddress]string    // why
	absent  map[ownedAddress]bool      // failed, as there was no such device
	dropped map[ownedAddress]time.Time // when we did; snapshots may still have it
	claimed map[ownedAddress]string    // MAC of another host that answers for it
}

// A holdingPlan is what instances own while they do.
type holdingPlan struct {
	addresses []addressPlan
	routes    []routePlan
	rules     []rulePlan
}

// An addressPlan is a virtual address to put on an interface.
type addressPlan struct {
	instance string // the vrrp_instance that names it; "" is static
	device   string
	prefix   netip.Prefix
	closed   bool // only for routing: no_accept of an instance that is not the address's owner
	spec     config.Address
}

func (p *addressPlan) key() ownedAddress { return ownedAddress{p.device, p.prefix} }

// A routePlan is a route, a rulePlan a rule of an instance.
type (
	routePlan struct {
		instance string
		spec     config.Route
	}
	rulePlan struct {
		instance string
		spec     config.Rule
	}
)

func newHoldings(log *slog.Logger, host changer, links *linkNames, dir runDir) *holdings {
	return &holdings{
		log: log, host: host, links: links, dir: dir, retry: make(chan struct{}, 1),
		owners: map[string]bool{"": true}, present: make(map[ownedAddress]bool),
		failed: make(map[ownedAddress]string), claimed: make(map[ownedAddress]string),
		absent: make(map[ownedAddress]bool), dropped: make(map[ownedAddress]time.Time),
	}
}

// recall loads what the last run left.
func (h *holdings) recall() (err error) {
	h.owned, err = h.dir.ownedAddresses()
	h.written = slices.Clone(h.owned)
	return err
}

// setPlan says what there is to be owned. Addresses of ours that are not in the plan any more
// go, and so do those that pass from an owner to an instance that is none. After an error they
// are still on the list, and go with the next plan or at the end.
func (h *holdings) setPlan(s *hostnet.Snapshot, p holdingPlan) error {
	h.acts.Lock()
	defer h.acts.Unlock()
	h.mu.Lock()
	old := h.plan
	h.plan, h.coming = p, nil
	var drop []ownedAddress
	owners := maps.Clone(h.owners) // others begin meanwhile
	for _, o := range h.owned {
		if !p.wants(o, owners) && (!p.wants(o, nil) || old.wants(o, owners)) {
			drop = append(drop, o)
		}
	}
	h.mu.Unlock()
	var changes []hostnet.Change
	for _, r := range old.routes {
		if owners[r.instance] && !p.hasRoute(r, owners) {
			changes = append(changes, h.routeChanges(s, r, false)...)
		}
	}
	for _, r := range old.rules {
		if owners[r.instance] && !p.hasRule(r, owners) {
			changes = append(changes, hostnet.DeleteRule{Rule: translateRule(r.spec)})
		}
	}
	return errors.Join(h.do(changes), h.delete(s, drop))
}

// rename has instances own what is theirs under other names. The plan with these follows.
func (h *holdings) rename(renames map[string]string) {
	h.acts.Lock()
	defer h.acts.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.plan = h.plan.renamed(renames)
	for from, to := range renames {
		if h.owners[from] {
			delete(h.owners, from)
			h.owners[to] = true
		}
	}
}

// expect says which addresses a plan will bring that is about to be set, nil that there is none.
func (h *holdings) expect(coming []addressPlan) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.coming = coming
}

// wants reports whether a plan has an address for one of the owners, or for anybody if they are
// nil.
func (p *holdingPlan) wants(o ownedAddress, owners map[string]bool) bool {
	return slices.ContainsFunc(p.addresses, func(a addressPlan) bool { return a.key() == o && (owners == nil || owners[a.instance]) })
}

// hasRoute reports whether a plan has a route for one of the owners. Several may list the same;
// where it stands in the file does not matter.
func (p *holdingPlan) hasRoute(r routePlan, owners map[string]bool) bool {
	return slices.ContainsFunc(p.routes, func(x routePlan) bool {
		x.spec.Pos = r.spec.Pos
		return owners[x.instance] && reflect.DeepEqual(x.spec, r.spec)
	})
}

// hasRule does so for rules.
func (p *holdingPlan) hasRule(r rulePlan, owners map[string]bool) bool {
	return slices.ContainsFunc(p.rules, func(x rulePlan) bool {
		x.spec.Pos = r.spec.Pos
		return owners[x.instance] && reflect.DeepEqual(x.spec, r.spec)
	})
}

// begin makes instances owners: what they own is wanted from now on. take follows.
func (h *holdings) begin(instances ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, i := range instances {
		h.owners[i] = true
	}
}

// take puts what an owner owns onto the host, as far as it is not there. What cannot be is
// logged and shown in status.
func (h *holdings) take(s *hostnet.Snapshot, instance string) {
	h.acts.Lock()
	defer h.acts.Unlock()
	h.mu.Lock()
	if !h.owners[instance] {
		h.mu.Unlock()
		return // it has yielded meanwhile
	}
	plan := h.plan.of(instance)
	var addresses []addressPlan
	var changes []hostnet.Change
	if h.bare {
		for _, p := range plan.addresses {
			h.log.Info(fmt.Sprintf("(%s) answering for VIP %s on %s", p.instance, p.prefix, p.device))
		}
	} else {
		addresses, changes = h.additions(s, plan.addresses)
		h.write()
	}
	h.mu.Unlock()
	for _, r := range plan.routes {
		changes = append(changes, h.routeChanges(s, r, true)...)
	}
	for _, r := range plan.rules {
		changes = append(changes, hostnet.AddRule{Rule: translateRule(r.spec)})
	}
	if len(changes) == 0 {
		return
	}
	errs := h.host.Do(changes...)
	h.mu.Lock()
	defer h.mu.Unlock()
	for n, p := range addresses {
		h.added(p, errs[n])
	}
	h.write()
	for n := len(addresses); n < len(changes); n++ {
		if err := errs[n]; err != nil && !errors.Is(err, hostnet.ErrExists) {
			h.log.Error("a route or rule could not be added", "instance", instance, "error", err)
		}
	}
}

// forget removes what a crash left on interfaces, where a bare run must not have it.
func (h *holdings) forget(s *hostnet.Snapshot) error {
	h.acts.Lock()
	defer h.acts.Unlock()
	return h.delete(s, slices.Clone(h.owned))
}

// additions are the addresses of a plan that are to be added, as changes and as plans. One
// that somebody else put there is left alone. h.mu is held.
func (h *holdings) additions(s *hostnet.Snapshot, plans []addressPlan) (list []addressPlan, changes []hostnet.Change) {
	for _, p := range plans {
		key := p.key()
		a, err := translateAddress(p.spec, p.device, h.links.in(s))
		if h.absent[key] = err != nil; err != nil {
			h.fail(p, err)
			continue
		}
		ours := slices.Contains(h.owned, key)
		if h.present[key] = !ours && !h.justDropped(key) && present(s, a.Link, p.prefix); h.present[key] {
			continue
		}
		if a.Prefix.Addr().Is6() {
			// The kernel prefers the newest IPv6 address as source. Checks that start from a VIP
			// never come back from a DR server, which has it itself. keepalived does this for
			// /128 only.
			a.Flags |= hostnet.FlagDeprecated
		}
		if !ours {
			h.owned = append(h.owned, key)
		}
		list, changes = append(list, p), append(changes, hostnet.AddAddress{Address: a})
	}
	return list, changes
}

// justDropped reports whether it may be ours what a snapshot has of an address: we have only
// just removed it. h.mu is held.
func (h *holdings) justDropped(key ownedAddress) bool {
	maps.DeleteFunc(h.dropped, func(_ ownedAddress, at time.Time) bool { return time.Since(at) > settleTime })
	for o := range h.dropped {
		if o.Interface == key.Interface && o.Prefix.Addr() == key.Prefix.Addr() {
			return true
		}
	}
	return false
}

// added notes what became of an address. h.mu is held.
func (h *holdings) added(p addressPlan, err error) {
	switch key := p.key(); {
	case err == nil:
		if p.instance == "" {
			h.log.Info(fmt.Sprintf("adding static address %s on %s", p.prefix, p.device))
		} else {
			h.log.Info(fmt.Sprintf("(%s) adding VIP %s on %s", p.instance, p.prefix, p.device))
		}
		delete(h.failed, key)
	case errors.Is(err, hostnet.ErrExists): // of ours, from before
		delete(h.failed, key)
	default:
		h.owned = slices.DeleteFunc(h.owned, func(o ownedAddress) bool { return o == key })
		h.fail(p, err)
	}
}

// fail notes that an address could not be added. h.mu is held.
func (h *holdings) fail(p addressPlan, err error) {
	if h.failed[p.key()] == err.Error() {
		return
	}
	h.failed[p.key()] = err.Error()
	h.log.Error("virtual address not added", "instance", p.instance, "address", p.prefix, "interface", p.device, "error", err, "config", p.spec.Pos.String())
}

// write puts the list of our addresses on disk. h.mu is held.
func (h *holdings) write() {
	if err := h.save(); err != nil {
		h.log.Error("what a crash would leave cannot be written down", "error", err)
	}
}

// save puts the list of our addresses on disk if it is another one. h.mu is held.
func (h *holdings) save() error {
	if slices.Equal(h.owned, h.written) {
		return nil
	}
	if err := h.dir.writeOwnedAddresses(h.owned); err != nil {
		return err
	}
	h.written = slices.Clone(h.owned)
	return nil
}

// give takes what an instance owns, or a crash left of it, off the host, the last first. What
// another owner lists as well stays.
func (h *holdings) give(s *hostnet.Snapshot, instance string) error {
	h.acts.Lock()
	defer h.acts.Unlock()
	h.mu.Lock()
	delete(h.owners, instance)
	plan := h.plan.of(instance)
	var drop []ownedAddress
	for _, p := range plan.addresses {
		if slices.Contains(h.owned, p.key()) && !h.plan.wants(p.key(), h.owners) {
			drop = append(drop, p.key())
		}
		delete(h.claimed, p.key())
	}
	all, owners := h.plan, maps.Clone(h.owners)
	h.mu.Unlock()
	var changes []hostnet.Change
	for _, r := range slices.Backward(plan.rules) {
		if !all.hasRule(r, owners) {
			changes = append(changes, hostnet.DeleteRule{Rule: translateRule(r.spec)})
		}
	}
	for _, r := range slices.Backward(plan.routes) {
		if !all.hasRoute(r, owners) {
			changes = append(changes, h.routeChanges(s, r, false)...)
		}
	}
	return errors.Join(h.do(changes), h.delete(s, drop))
}

// remove takes everything away, at the end.
func (h *holdings) remove(s *hostnet.Snapshot) error {
	h.mu.Lock()
	owners := slices.Sorted(maps.Keys(h.owners))
	h.mu.Unlock()
	var errs []error
	for _, instance := range owners {
		errs = append(errs, h.give(s, instance))
	}
	h.acts.Lock()
	defer h.acts.Unlock()
	return errors.Join(append(errs, h.delete(s, slices.Clone(h.owned)))...) // what a crash left
}

// do makes changes; what is gone already is no error. h.acts is held.
func (h *holdings) do(changes []hostnet.Change) error {
	if len(changes) == 0 {
		return nil
	}
	var failed []error
	for _, err := range h.host.Do(changes...) {
		if err != nil && !errors.Is(err, hostnet.ErrNoRoute) && !errors.Is(err, hostnet.ErrNoRule) && !errors.Is(err, hostnet.ErrNoAddress) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// delete takes addresses of ours away, the last first, and off the list. h.acts is held.
func (h *holdings) delete(s *hostnet.Snapshot, list []ownedAddress) error {
	if len(list) == 0 {
		return nil
	}
	slices.Reverse(list)
	changes, of := deletions(s, h.links, list)
	errs := h.host.Do(changes...)
	h.mu.Lock()
	defer h.mu.Unlock()
	var failed []error
	stays := make(map[ownedAddress]bool)
	for n, err := range errs {
		if err != nil && !errors.Is(err, hostnet.ErrNoAddress) {
			stays[of[n]] = true
			failed = append(failed, fmt.Errorf("remove %s from %s: %w", of[n].Prefix, of[n].Interface, err))
			continue
		}
		h.dropped[of[n]] = time.Now()
		h.log.Info(fmt.Sprintf("removing VIP %s from %s", of[n].Prefix, of[n].Interface))
	}
	h.owned = slices.DeleteFunc(h.owned, func(o ownedAddress) bool { return slices.Contains(list, o) && !stays[o] })
	return errors.Join(append(failed, h.save())...)
}

// deletions are the changes that take addresses away, and which address each is of. An
// interface that is gone took its addresses with it.
func deletions(s *hostnet.Snapshot, links *linkNames, list []ownedAddress) (changes []hostnet.Change, of []ownedAddress) {
	for _, o := range list {
		link, ok := links.find(s, o.Interface)
		if !ok {
			continue
		}
		for _, a := range s.AddressesOf(link.Index) {
			if a.Prefix.Addr() == o.Prefix.Addr() && (a.Peer.IsValid() || a.Prefix == o.Prefix) {
				changes, of = append(changes, hostnet.DeleteAddress{Address: hostnet.Address{Link: link.Index, Prefix: a.Prefix, Peer: a.Peer}}), append(of, o)
			}
		}
		if len(of) == 0 || of[len(of)-1] != o { // added since the snapshot, or gone
			changes, of = append(changes, hostnet.DeleteAddress{Address: hostnet.Address{Link: link.Index, Prefix: o.Prefix}}), append(of, o)
		}
	}
	return changes, of
}

// routeChanges is the change that adds or deletes a route; one that cannot be is logged.
func (h *holdings) routeChanges(s *hostnet.Snapshot, r routePlan, add bool) []hostnet.Change {
	spec, err := translateRoute(r.spec, h.links.in(s))
	switch {
	case err != nil:
		if add {
			h.log.Error("a route could not be added", "instance", r.instance, "error", err)
		}
		return nil
	case add:
		return []hostnet.Change{hostnet.AddRoute{RouteSpec: spec}}
	}
	return []hostnet.Change{hostnet.DeleteRoute{RouteSpec: spec}}
}
