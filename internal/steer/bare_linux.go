package steer

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// bare has nothing in the kernel: a host that does not have the virtual addresses and does
// not forward drops what is addressed to them, and what a NAT server answers through it, in
// silence. All that apply can do is to insist on both. Who answers ARP, neighbour
// discovery and ping for the addresses is the caller's care.
type bare struct{}

// probe implements backend. What the host must be like depends on the rules.
func (bare) probe() error { return nil }

// apply implements backend.
func (bare) apply(r Rules) error {
	if r.empty() || len(r.Links) == 0 {
		return nil
	}
	if err := refuseHolders(r); err != nil {
		return err
	}
	return refuseForwarding(r)
}

// refuseHolders returns an error when the kernel has one of the virtual addresses.
func refuseHolders(r Rules) error {
	devices, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	for _, d := range devices {
		list, err := d.Addrs()
		if err != nil {
			return fmt.Errorf("list addresses of %s: %w", d.Name, err)
		}
		for _, a := range list {
			p, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue
			}
			if slices.ContainsFunc(r.Services, func(m Match) bool { return m.Addr == p.Addr() }) ||
				slices.ContainsFunc(r.Patterns, func(x Pattern) bool { return x.Take && x.Destination.Contains(p.Addr()) }) {
				return fmt.Errorf("%s is on %s, so that the kernel's stack answers for it; remove it there "+
					"(ip address del %s dev %s): with this backend uvs answers for it alone", p.Addr(), d.Name, p, d.Name)
			}
		}
	}
	return nil
}

// forwardingSwitches returns the sysctls that make a kernel forward what devices receive.
// IPv4 asks the device alone, and ip_forward sets all of them.
func forwardingSwitches(six bool, devices []net.Interface) []string {
	family, perDevice, list := "ipv4", "forwarding", []string{"net/ipv4/ip_forward"}
	if six {
		family, perDevice, list = "ipv6", "force_forwarding", []string{"net/ipv6/conf/all/forwarding"}
	}
	for _, d := range devices {
		list = append(list, fmt.Sprintf("net/%s/conf/%s/%s", family, d.Name, perDevice))
	}
	return list
}

// refuseForwarding returns an error when the kernel would forward packets of the rules.
func refuseForwarding(r Rules) error {
	devices, err := present(r.Links)
	if err != nil {
		return err
	}
	for _, six := range []bool{false, true} {
		of := func(list []Match) bool {
			return slices.ContainsFunc(list, func(m Match) bool { return m.Addr.Is6() == six })
		}
		if !of(r.Services) && !of(r.Servers) && len(ofFamily(r.Patterns, map[bool]int{false: 32, true: 128}[six])) == 0 {
			continue
		}
		what := "packets to virtual addresses"
		if of(r.Servers) {
			what = "the untranslated answers of NAT servers"
		}
		for _, file := range forwardingSwitches(six, devices) {
			value, err := os.ReadFile("/proc/sys/" + file)
			if err != nil || strings.TrimSpace(string(value)) == "0" {
				continue // a kernel without the switch does not forward by it
			}
			return fmt.Errorf("%s is %s, so that the kernel forwards %s; set it to 0, "+
				"or steer by a backend that keeps them from it", file, strings.TrimSpace(string(value)), what)
		}
	}
	return nil
}

// remove implements backend.
func (bare) remove() ([]string, error) { return nil, nil }

// close implements backend.
func (bare) close() error { return nil }
