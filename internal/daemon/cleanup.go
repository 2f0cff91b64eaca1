package daemon

import (
	"errors"
	"fmt"
	"slices"

	"uvs/control"
	"uvs/internal/hostnet"
	"uvs/internal/steer"
)

// Cleanup removes what a killed run left in this network namespace: steering, whichever
// backend made it, and the addresses that the run directory says it added. It returns what
// it removed, a line each. While a director runs here it refuses, for there is nothing
// left behind then.
func Cleanup(runDirectory string) (removed []string, err error) {
	lock, err := lockNamespace()
	if err != nil {
		return nil, err
	}
	defer lock.Close() //nolint:errcheck // nothing depends on it any more
	listener, err := control.Listen(runDirectory)
	if err != nil {
		return nil, err
	}
	defer listener.Close() //nolint:errcheck // it replaced a dead run's socket and goes with it

	dir := runDir(runDirectory)
	owned, err := dir.ownedAddresses()
	if err != nil {
		return nil, err
	}
	network, err := hostnet.Open()
	if err != nil {
		return nil, err
	}
	defer network.Close() //nolint:errcheck // a netlink socket
	actor, err := hostnet.OpenActor()
	if err != nil {
		return nil, err
	}
	defer actor.Close() //nolint:errcheck // a netlink socket
	var errs []error
	removed, err = removeOwned(actor, network.Snapshot(), dir, owned)
	errs = append(errs, err)
	if dir.crashed() {
		lines, err := removeOwnRoutes(actor, network.Snapshot())
		removed, errs = append(removed, lines...), append(errs, err)
	}
	errs = append(errs, dir.removePID())
	switches := offloads{dir: dir, switches: realSwitches()}
	errs = append(errs, switches.recall())
	restored, err := switches.restore(network.Snapshot(), func(int) bool { return false })
	removed = append(removed, restored...)
	errs = append(errs, err)
	steering, err := steer.Cleanup()
	removed = append(removed, steering...)
	errs = append(errs, err)
	return removed, errors.Join(errs...)
}

// removeOwned takes the addresses away that a killed run left, the last first. What cannot be
// removed stays on the list.
func removeOwned(actor changer, s *hostnet.Snapshot, dir runDir, owned []ownedAddress) (removed []string, err error) {
	list := slices.Clone(owned)
	slices.Reverse(list)
	changes, of := deletions(s, newLinkNames(), list)
	var left []ownedAddress
	var errs []error
	for n, err := range actor.Do(changes...) {
		switch {
		case err == nil:
			removed = append(removed, fmt.Sprintf("address %s on %s", of[n].Prefix, of[n].Interface))
		case !errors.Is(err, hostnet.ErrNoAddress):
			errs, left = append(errs, fmt.Errorf("remove %s from %s: %w", of[n].Prefix, of[n].Interface, err)), append(left, of[n])
		}
	}
	slices.Reverse(left)
	return removed, errors.Join(append(errs, dir.writeOwnedAddresses(left))...)
}

// removeOwnRoutes takes away the routes and rules that bear the mark of VRRP.
func removeOwnRoutes(actor changer, s *hostnet.Snapshot) (removed []string, err error) {
	var changes []hostnet.Change
	for r := range s.OwnRules() {
		changes, removed = append(changes, hostnet.DeleteRule{Rule: r}), append(removed, "rule "+r.String())
	}
	for _, r := range s.OwnRoutes {
		changes, removed = append(changes, hostnet.DeleteRoute{RouteSpec: r}), append(removed, "route "+r.String())
	}
	if len(changes) == 0 {
		return nil, nil
	}
	return removed, errors.Join(actor.Do(changes...)...)
}
