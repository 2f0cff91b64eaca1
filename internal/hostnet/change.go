package hostnet

import "fmt"

// A Change is one thing to be done to the host by an [Actor]. The types of it are plain
// values: what decides on changes can be tested without a kernel.
type Change interface {
	fmt.Stringer // "add address 192.0.2.7/24 on device 3"
	change()
}

// The changes.
type (
	// AddAddress gives a device an address, as [Watcher.AddAddress] does. It fails with
	// ErrExists if the device has it.
	AddAddress struct{ Address }
	// DeleteAddress takes an address from a device; Link, Prefix and Peer say which. It
	// fails with ErrNoAddress if the device does not have it.
	DeleteAddress struct{ Address }
	// AddRoute makes a route, at its Place. It fails with ErrExists if that is Exclusive
	// and there is one of the same destination, and if there is the same.
	AddRoute struct{ RouteSpec }
	// DeleteRoute removes a route: the first of the same destination, kind, protocol and
	// ways. It fails with ErrNoRoute if there is none.
	DeleteRoute struct{ RouteSpec }
	// AddRule makes a rule. It fails with ErrExists if there is the same.
	AddRule struct{ Rule }
	// DeleteRule removes the rule that is the same. It fails with ErrNoRule if there is
	// none.
	DeleteRule struct{ Rule }
	// SetUp sets a device up: one that EnsureDevice made while its parent was down.
	SetUp struct{ Link int }
)

func (AddAddress) change()    {}
func (DeleteAddress) change() {}
func (AddRoute) change()      {}
func (DeleteRoute) change()   {}
func (AddRule) change()       {}
func (DeleteRule) change()    {}
func (SetUp) change()         {}

// String describes the change, with the number of the device.
func (c AddAddress) String() string {
	return fmt.Sprintf("add address %s on device %d", c.Prefix, c.Link)
}

// String describes the change, with the number of the device.
func (c DeleteAddress) String() string {
	return fmt.Sprintf("delete address %s on device %d", c.Prefix, c.Link)
}

// String describes the change, with the numbers of table and devices.
func (c AddRoute) String() string { return "add route " + c.RouteSpec.String() }

// String describes the change, with the numbers of table and devices.
func (c DeleteRoute) String() string { return "delete route " + c.RouteSpec.String() }

// String describes the change, with the number of the table.
func (c AddRule) String() string { return "add " + family(c.IPv6) + " rule " + c.Rule.String() }

// String describes the change, with the number of the table.
func (c DeleteRule) String() string { return "delete " + family(c.IPv6) + " rule " + c.Rule.String() }

// String describes the change, with the number of the device.
func (c SetUp) String() string { return fmt.Sprintf("set device %d up", c.Link) }

func family(ipv6 bool) string {
	if ipv6 {
		return "IPv6"
	}
	return "IPv4"
}
