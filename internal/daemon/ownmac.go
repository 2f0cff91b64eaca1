package daemon

import (
	"fmt"
	"slices"
	"strconv"

	"uvs/config"
	"uvs/internal/hostnet"
)

// An ownMAC is a device with a virtual MAC for addresses of an instance that are not on the
// instance's own (use_vmac_addr, and use_vmac of an address): one for each interface and family.
type ownMAC struct {
	instance, name, base string
	vrid                 uint8
	six                  bool
	of                   config.Address // the first one
}

// ownMACs are those of all instances, after whose own devices they are named. Their names are those
// that keepalived 2.2.7 gives: PREFIX.VRID, PREFIX6.VRID for IPv6, PREFIX1.VRID and so on, the
// first that is not taken. It is pure, and so are the names, which a reload or a crash does not
// change.
func ownMACs(instances []config.Instance, prefix string) (list []ownMAC) {
	taken := make(map[string]bool)
	for n := range instances {
		taken[deviceName(&instances[n])] = true
	}
	for n := range instances {
		i := &instances[n]
		for _, a := range slices.Concat(i.Addresses, i.Excluded) {
			if a.MAC != config.OwnMAC || ownMACOf(list, i.Name, a) != "" {
				continue
			}
			o := ownMAC{instance: i.Name, base: a.Device, vrid: i.VRID, six: a.Prefix.Addr().Is6(), of: a}
			o.name = ownMACName(prefix, o.vrid, o.six, func(name string) bool { return !taken[name] })
			taken[o.name] = true
			list = append(list, o)
		}
	}
	return list
}

// ownMACOf is the name of the device for an address of an instance, "" if it has none.
func ownMACOf(list []ownMAC, instance string, a config.Address) string {
	for n := range list {
		if o := &list[n]; a.MAC == config.OwnMAC && o.instance == instance && o.base == a.Device && o.six == a.Prefix.Addr().Is6() {
			return o.name
		}
	}
	return ""
}

// device is the device in hostnet's terms.
func (o *ownMAC) device(links linkIndex) (hostnet.Device, error) {
	d := hostnet.Device{Name: o.name, Kind: hostnet.Macvlan, MAC: hostnet.VirtualMAC(o.vrid, o.six), IPv4: !o.six, IPv6: o.six}
	var err error
	if d.Parent, err = links.index(o.base); err != nil {
		return d, fmt.Errorf("%s: address %s: %w", o.of.Pos, o.of.Prefix, err)
	}
	return d, nil
}

// ownMACName is the first name that is free.
func ownMACName(prefix string, vrid uint8, six bool, free func(string) bool) string {
	const longest = 15 // IFNAMSIZ without its zero
	name := func(number string) string {
		suffix := fmt.Sprintf("%s.%d", number, vrid)
		return prefix[:min(len(prefix), longest-len(suffix))] + suffix
	}
	if n := name(""); free(n) {
		return n
	}
	if n := name("6"); six && free(n) {
		return n
	}
	for i := 1; ; i++ {
		if n := name(strconv.Itoa(i)); free(n) {
			return n
		}
	}
}

// A devicePlan is what instances need of devices and settings.
type devicePlan struct {
	instances []config.Instance
	own       []ownMAC
}

// A deviceWish is a device that is to be there.
type deviceWish struct {
	instance   string
	name, base string
	own        *config.Instance // whose adverts it is for; nil: it is for addresses only
	device     func(links linkIndex, groups map[string]uint32) (hostnet.Device, error)
}

// wishes are all devices of a plan.
func (p *devicePlan) wishes() (list []deviceWish) {
	for n := range p.instances {
		i := &p.instances[n]
		if name := deviceName(i); name != "" {
			list = append(list, deviceWish{i.Name, name, i.Interface, i, func(links linkIndex, groups map[string]uint32) (hostnet.Device, error) {
				d, _, err := translateDevice(i, links, groups)
				return d, err
			}})
		}
	}
	for n := range p.own {
		o := &p.own[n]
		list = append(list, deviceWish{o.instance, o.name, o.base, nil, func(links linkIndex, _ map[string]uint32) (hostnet.Device, error) { return o.device(links) }})
	}
	return list
}
