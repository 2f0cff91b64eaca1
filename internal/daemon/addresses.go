package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"uvs/control"
	"uvs/internal/announce"
	"uvs/internal/hostnet"
)

// addressChanger is what of hostnet.Watcher adds and removes addresses.
type addressChanger interface {
	AddAddress(hostnet.Address) error
	DeleteAddress(hostnet.Address) error
}

// addresses look after the virtual addresses of a run: probe, add and announce at start,
// remove at the end. What was added is on disk before it is on the interface.
type addresses struct {
	log  *slog.Logger
	host addressChanger
	dir  runDir

	notify  func()        // called after an address was refused, or no longer is
	changed chan struct{} // holds one: the network is not as keep last saw it

	mu    sync.Mutex // guards what follows
	owned []ownedAddress
	plans []addressPlan     // set by plan and bring
	state []control.Address // one for each plan
	// refused are planned addresses that are another host's, or could not be added;
	// newlyRefused says that the reconciler has not seen the latest of them.
	refused      map[ownedAddress]bool
	newlyRefused bool
}

func newAddresses(log *slog.Logger, host addressChanger, dir runDir, notify func()) *addresses {
	return &addresses{
		log: log, host: host, dir: dir, notify: notify,
		changed: make(chan struct{}, 1), refused: make(map[ownedAddress]bool),
	}
}

// recall loads what the last run left, to be adopted or removed.
func (a *addresses) recall() error {
	owned, err := a.dir.ownedAddresses()
	if err != nil {
		return err
	}
	a.owned = owned
	return nil
}

// plan says which addresses are about to be brought, so that steering and capture are ready.
func (a *addresses) plan(plans []addressPlan) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.plans, a.state = plans, nil
}

// drop removes addresses of ours that are not among plans, and returns them.
func (a *addresses) drop(s *hostnet.Snapshot, plans []addressPlan) (gone []string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var keep []ownedAddress
	for _, o := range a.owned {
		if err != nil || slices.ContainsFunc(plans, func(p addressPlan) bool { return p.device == o.Interface && p.prefix == o.Prefix }) {
			keep = append(keep, o)
			continue
		}
		if err = deleteOwned(a.host, s, o); err != nil {
			keep = append(keep, o)
			continue
		}
		a.log.Info(fmt.Sprintf("removing VIP %s from %s", o.Prefix, o.Interface))
		gone = append(gone, fmt.Sprintf("%s on %s", o.Prefix, o.Interface))
	}
	a.owned = keep
	return gone, errors.Join(err, a.dir.writeOwnedAddresses(keep))
}

// bring puts the planned addresses on their interfaces. Each is probed first, all at the
// same time; one that another host answers for is left alone. An address that was there
// before and is not ours stays as it is.
func (a *addresses) bring(ctx context.Context, s *hostnet.Snapshot, plans []addressPlan) error {
	if err := a.dropStale(s, plans); err != nil {
		return err
	}
	results := make([]control.Address, len(plans))
	var wg sync.WaitGroup
	for i, p := range plans {
		wg.Go(func() { results[i] = a.bringOne(ctx, s, p) })
	}
	wg.Wait()
	a.mu.Lock()
	a.plans, a.state = plans, results
	a.mu.Unlock()
	for i := range results {
		a.settle(plans[i], results[i].State)
	}
	return ctx.Err()
}

// settle notes what became of a planned address for the reconciler.
func (a *addresses) settle(p addressPlan, state control.AddressState) {
	key, refused := ownedAddress{p.device, p.prefix}, state == control.AddressForeign || state == control.AddressFailed
	a.mu.Lock()
	news := a.refused[key] != refused
	a.refused[key] = refused
	a.newlyRefused = a.newlyRefused || news
	a.mu.Unlock()
	if news {
		a.notify()
	}
}

// refusedChanged reports whether addresses were refused, or no longer are, since it was
// called last.
func (a *addresses) refusedChanged() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	changed := a.newlyRefused
	a.newlyRefused = false
	return changed
}

// wantedOn returns the planned addresses that are to be on the interfaces of a snapshot. An
// interface that comes later, or takes the place of one of the same name, is captured
// before it has them.
func (a *addresses) wantedOn(s *hostnet.Snapshot) []hostnet.Address {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []hostnet.Address
	for _, p := range a.plans {
		if l, ok := s.LinkByName(p.device); ok && !a.refused[ownedAddress{p.device, p.prefix}] {
			list = append(list, hostnet.Address{Link: l.Index, Prefix: p.prefix})
		}
	}
	return list
}

// look tells keep that the network changed. It does not wait.
func (a *addresses) look() {
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// settleTime is how far a snapshot may be behind what we did ourselves (four of hostnet's
// intervals): only what is missing for longer has disappeared.
const settleTime = 200 * time.Millisecond

// keep brings back what is ours and disappears: the kernel drops the IPv6 addresses of a
// link that is set down, and secondary IPv4 addresses with their primary. As another host
// may have taken one meanwhile, it is probed as at the start. keep runs after bring.
func (a *addresses) keep(ctx context.Context, snapshot func() *hostnet.Snapshot) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.changed:
		}
		if len(a.missing(snapshot())) == 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(settleTime):
		}
		s := snapshot()
		var wg sync.WaitGroup
		for _, p := range a.missing(s) {
			wg.Go(func() { a.bringBack(ctx, s, p) })
		}
		wg.Wait()
	}
}

func (a *addresses) bringBack(ctx context.Context, s *hostnet.Snapshot, p addressPlan) {
	a.log.Warn("virtual address has disappeared and is brought back", "instance", p.instance, "address", p.prefix, "interface", p.device)
	status := a.bringOne(ctx, s, p)
	if ctx.Err() != nil {
		return
	}
	a.settle(p, status.State)
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := slices.Index(a.plans, p); i >= 0 && i < len(a.state) { // else a reload took it away
		a.state[i] = status
	}
}

// missing returns the addresses that are to be there, could be, and are not.
func (a *addresses) missing(s *hostnet.Snapshot) []addressPlan {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []addressPlan
	for i, p := range a.plans {
		link, ok := s.LinkByName(p.device)
		if i < len(a.state) && a.state[i].State == control.AddressAdded && ok && link.Up && !present(s, link.Index, p.prefix) {
			list = append(list, p)
		}
	}
	return list
}

func (a *addresses) bringOne(ctx context.Context, s *hostnet.Snapshot, p addressPlan) control.Address {
	status := control.Address{Address: p.prefix, Interface: p.device, State: control.AddressFailed}
	link, ok := s.LinkByName(p.device)
	if !ok {
		status.Detail = fmt.Sprintf("interface %s does not exist", p.device)
		a.log.Error("virtual address not added", "instance", p.instance, "address", p.prefix, "reason", status.Detail, "config", p.position)
		return status
	}
	if present(s, link.Index, p.prefix) {
		status.State = control.AddressPresent
		if a.owns(p) {
			status.State = control.AddressAdded
			a.announce(ctx, link, p)
		}
		return status
	}
	if !link.Loopback {
		owner, found, err := announce.Probe(ctx, announceLink(link), p.prefix.Addr(), announce.ProbeOptions{Own: macsOf(s)})
		switch {
		case err != nil && ctx.Err() == nil:
			a.log.Warn("virtual address could not be probed; it is added all the same", "address", p.prefix, "interface", p.device, "error", err)
		case found:
			status.State, status.ConflictMAC = control.AddressForeign, owner.String()
			a.log.Error("virtual address not added: another host answers for it", "instance", p.instance, "address", p.prefix, "interface", p.device, "mac", owner.String())
			return status
		}
	}
	if ctx.Err() != nil {
		return status
	}
	switch err := a.add(link, p); {
	case errors.Is(err, hostnet.ErrExists):
		status.State = control.AddressPresent // somebody added it since the snapshot, or we did
		if a.owns(p) {
			status.State = control.AddressAdded
		}
		return status
	case err != nil:
		status.Detail = err.Error()
		a.log.Error("virtual address not added", "instance", p.instance, "address", p.prefix, "interface", p.device, "error", err)
		return status
	}
	a.log.Info(fmt.Sprintf("(%s) adding VIP %s on %s", p.instance, p.prefix, p.device))
	status.State = control.AddressAdded
	a.announce(ctx, link, p)
	return status
}

func (a *addresses) add(link hostnet.Link, p addressPlan) error {
	own := ownedAddress{p.device, p.prefix}
	a.mu.Lock()
	defer a.mu.Unlock()
	before := slices.Contains(a.owned, own)
	if !before {
		a.owned = append(a.owned, own)
	}
	if err := a.dir.writeOwnedAddresses(a.owned); err != nil {
		return err
	}
	err := a.host.AddAddress(hostnet.Address{
		Link: link.Index, Prefix: p.prefix, Broadcast: p.broadcast, Label: p.label, Scope: p.scope,
		// The kernel prefers the newest IPv6 address as source. Checks that start from the
		// VIP never come back from a DR server, which has the VIP itself. keepalived does
		// this for /128 only.
		Flags: hostnet.FlagDeprecated,
	})
	if err != nil && !before { // it did not become ours
		a.owned = slices.DeleteFunc(a.owned, func(o ownedAddress) bool { return o == own })
		err = errors.Join(err, a.dir.writeOwnedAddresses(a.owned))
	}
	return err
}

func (a *addresses) announce(ctx context.Context, link hostnet.Link, p addressPlan) {
	if link.Loopback {
		return
	}
	if err := announce.Announce(ctx, announceLink(link), p.prefix.Addr(), announce.Options{}); err != nil && ctx.Err() == nil {
		a.log.Warn("virtual address could not be announced", "address", p.prefix, "interface", p.device, "error", err)
	}
}

func (a *addresses) owns(p addressPlan) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.owned, ownedAddress{p.device, p.prefix})
}

// dropStale removes addresses that the last run added and this one does not have.
func (a *addresses) dropStale(s *hostnet.Snapshot, plans []addressPlan) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var keep []ownedAddress
	for _, o := range a.owned {
		planned := slices.ContainsFunc(plans, func(p addressPlan) bool { return p.device == o.Interface && p.prefix == o.Prefix })
		if planned {
			keep = append(keep, o)
			continue
		}
		if err := deleteOwned(a.host, s, o); err != nil {
			return err
		}
		a.log.Info("removed an address that an earlier run left", "address", o.Prefix, "interface", o.Interface)
	}
	a.owned = keep
	return a.dir.writeOwnedAddresses(keep)
}

// remove takes away what was added, the last one first.
func (a *addresses) remove(s *hostnet.Snapshot) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	var left []ownedAddress
	for _, o := range slices.Backward(a.owned) {
		if err := deleteOwned(a.host, s, o); err != nil {
			errs = append(errs, err)
			left = append(left, o)
			continue
		}
		a.log.Info(fmt.Sprintf("removing VIP %s from %s", o.Prefix, o.Interface))
	}
	slices.Reverse(left)
	a.owned, a.state = left, nil
	return errors.Join(append(errs, a.dir.writeOwnedAddresses(left))...)
}

// list returns copies of the states, for status.
func (a *addresses) list() []control.Address {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.state)
}

// deleteOwned removes an address of ours; one that is gone already is no error.
func deleteOwned(host addressChanger, s *hostnet.Snapshot, o ownedAddress) error {
	link, ok := s.LinkByName(o.Interface)
	if !ok {
		return nil
	}
	err := host.DeleteAddress(hostnet.Address{Link: link.Index, Prefix: o.Prefix})
	if err != nil && !errors.Is(err, hostnet.ErrNoAddress) {
		return fmt.Errorf("remove %s from %s: %w", o.Prefix, o.Interface, err)
	}
	return nil
}

func present(s *hostnet.Snapshot, link int, p netip.Prefix) bool {
	return slices.ContainsFunc(s.AddressesOf(link), func(a hostnet.Address) bool { return a.Prefix.Addr() == p.Addr() })
}

func announceLink(l hostnet.Link) announce.Link {
	return announce.Link{Index: l.Index, Name: l.Name, MAC: l.MAC}
}

// macsOf lists the hardware addresses of this host, so that two interfaces of it on one
// Ethernet do not take each other for a stranger.
func macsOf(s *hostnet.Snapshot) [][6]byte {
	var macs [][6]byte
	for _, l := range s.Links {
		if l.Ethernet {
			macs = append(macs, l.MAC)
		}
	}
	return macs
}
