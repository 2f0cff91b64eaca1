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
	var errs []error
	var left []ownedAddress
	for _, o := range slices.Backward(owned) {
		if err := deleteOwned(network, network.Snapshot(), o); err != nil {
			errs = append(errs, err)
			left = append(left, o)
			continue
		}
		removed = append(removed, fmt.Sprintf("address %s on %s", o.Prefix, o.Interface))
	}
	slices.Reverse(left)
	errs = append(errs, dir.writeOwnedAddresses(left), dir.removePID())
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
