package hostnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Numbers of linux/if_link.h that golang.org/x/sys/unix does not name.
const (
	macvlanMode    = 1 // IFLA_MACVLAN_MODE
	macvlanPrivate = 1 // MACVLAN_MODE_PRIVATE
	ipvlanMode     = 1 // IFLA_IPVLAN_MODE
	ipvlanFlags    = 2 // IFLA_IPVLAN_FLAGS
	ipvlanL2       = 0 // IPVLAN_MODE_L2

	inet6AddrGenMode = 8 // IFLA_INET6_ADDR_GEN_MODE
	addrGenNone      = 1 // IN6_ADDR_GEN_MODE_NONE

	// otherMode is the Mode of a macvlan that is not private, or of an ipvlan not of layer
	// 2: none that is ever asked for.
	otherMode IPVLANMode = 0xffff
)

// EnsureDevice makes a device and sets it up, or takes over the one of that name if it is
// the same, as a run that crashed leaves it; adopted tells which. It returns the device's
// index. A device that differs in kind, parent, MAC or mode is left alone: ErrForeign. The
// device is not up after EnsureDevice if its parent is down; [SetUp] does it later.
// It works in the namespace of the calling thread, which must be the Actor's.
func (a *Actor) EnsureDevice(d Device) (index int, adopted bool, err error) {
	found, err := a.device(d.Name)
	switch {
	case errors.Is(err, ErrNoDevice):
	case err != nil:
		return 0, false, fmt.Errorf("device %s: %w", d.Name, err)
	default:
		if diff := d.difference(found.Device); diff != "" {
			return 0, false, fmt.Errorf("device %s %w: %s; remove it or name another", d.Name, ErrForeign, diff)
		}
		return found.index, true, a.configure(d, found.index)
	}
	create := request{unix.RTM_NEWLINK, createNew, encodeDevice(d), map[unix.Errno]error{unix.EEXIST: ErrExists}}
	if err := a.socket.exchange([]request{create})[0]; err != nil {
		return 0, false, fmt.Errorf("make %s %s on device %d: %w", d.Kind, d.Name, d.Parent, err)
	}
	if found, err = a.device(d.Name); err != nil {
		return 0, false, fmt.Errorf("device %s: %w", d.Name, err)
	}
	if err := a.configure(d, found.index); err != nil {
		return 0, false, errors.Join(err, a.RemoveDevice(d))
	}
	return found.index, false, nil
}

// RemoveDevice removes a device if it is the one that d says; ErrForeign if it is another,
// ErrNoDevice if there is none.
func (a *Actor) RemoveDevice(d Device) error {
	found, err := a.device(d.Name)
	if err != nil {
		return fmt.Errorf("remove device %s: %w", d.Name, err)
	}
	if diff := d.difference(found.Device); diff != "" {
		return fmt.Errorf("remove device %s, which %w: %s", d.Name, ErrForeign, diff)
	}
	remove := request{unix.RTM_DELLINK, 0, linkMessage(found.index, 0, 0), map[unix.Errno]error{unix.ENODEV: ErrNoDevice}}
	if err := a.socket.exchange([]request{remove})[0]; err != nil {
		return fmt.Errorf("remove device %s: %w", d.Name, err)
	}
	return nil
}

// VirtualDevices lists the macvlan devices in private mode and the ipvlan devices of layer
// 2: those that an earlier run may have made.
func (a *Actor) VirtualDevices() ([]Device, error) {
	messages, err := a.socket.ask(request{kind: unix.RTM_GETLINK, flags: unix.NLM_F_DUMP, payload: linkMessage(0, 0, 0)})
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	var list []Device
	for _, m := range messages {
		if d, ok := decodeDevice(m); ok && d.Kind != "" && d.Mode != otherMode {
			list = append(list, d.Device)
		}
	}
	return list, nil
}

// configure does what can be done again at any time.
func (a *Actor) configure(d Device, index int) error {
	quiet := encoder{linkMessage(index, 0, 0)}
	quiet.u32(unix.IFLA_GROUP, d.Group)
	quiet.nest(unix.IFLA_AF_SPEC, func(e *encoder) {
		e.nest(unix.AF_INET6, func(e *encoder) { e.u8(inet6AddrGenMode, addrGenNone) })
	})
	err := a.socket.exchange([]request{{kind: unix.RTM_SETLINK, payload: quiet.b}})[0]
	if errors.Is(err, unix.EAFNOSUPPORT) { // a kernel without IPv6
		group := encoder{linkMessage(index, 0, 0)}
		group.u32(unix.IFLA_GROUP, d.Group)
		err = a.socket.exchange([]request{{kind: unix.RTM_SETLINK, payload: group.b}})[0]
	}
	if err != nil {
		return fmt.Errorf("device %s: %w", d.Name, err)
	}
	for _, s := range d.sysctls() {
		err := writeSysctl(s.Name, s.Value)
		if errors.Is(err, fs.ErrNotExist) && s.Name == conf6(d.Name, "disable_ipv6", "").Name {
			continue // a kernel without IPv6
		}
		if err != nil {
			return fmt.Errorf("device %s: %w", d.Name, err)
		}
	}
	if err := a.Do(SetUp{index})[0]; err != nil && !errors.Is(err, unix.ENETDOWN) {
		return fmt.Errorf("device %s: %w", d.Name, err)
	}
	return nil
}

// linkMessage is a struct ifinfomsg.
func linkMessage(index int, flags, change uint32) []byte {
	b := binary.NativeEndian.AppendUint32(make([]byte, 4), uint32(index))
	return binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(b, flags), change)
}

// encodeDevice is the request that makes a device.
func encodeDevice(d Device) []byte {
	e := encoder{linkMessage(0, 0, 0)}
	e.str(unix.IFLA_IFNAME, d.Name)
	e.u32(unix.IFLA_LINK, uint32(d.Parent))
	if d.Kind == Macvlan {
		e.raw(unix.IFLA_ADDRESS, d.MAC[:])
	}
	e.nest(unix.IFLA_LINKINFO, func(e *encoder) {
		e.str(infoKind, string(d.Kind))
		e.nest(infoData, func(e *encoder) {
			if d.Kind == Macvlan {
				e.u32(macvlanMode, macvlanPrivate)
				return
			}
			e.u16(ipvlanMode, ipvlanL2)
			e.u16(ipvlanFlags, uint16(d.Mode))
		})
	})
	return e.b
}

// A foundDevice is a device of the host. One of another kind has no Kind.
type foundDevice struct {
	Device
	index int
}

// device looks a device up by its name.
func (a *Actor) device(name string) (foundDevice, error) {
	e := encoder{linkMessage(0, 0, 0)}
	e.str(unix.IFLA_IFNAME, name)
	messages, err := a.socket.ask(request{unix.RTM_GETLINK, 0, e.b, map[unix.Errno]error{unix.ENODEV: ErrNoDevice}})
	if err != nil {
		return foundDevice{}, err
	}
	for _, m := range messages {
		if d, ok := decodeDevice(m); ok {
			return d, nil
		}
	}
	return foundDevice{}, ErrNoDevice
}

// decodeDevice reads the payload of an RTM_NEWLINK.
func decodeDevice(b []byte) (foundDevice, bool) {
	ev, ok := decodeLink(unix.RTM_NEWLINK, b).(linkChanged)
	if !ok {
		return foundDevice{}, false
	}
	l := ev.link
	d := foundDevice{index: l.Index, Device: Device{Name: l.Name, Parent: l.Parent, MAC: l.MAC}}
	if k := DeviceKind(l.Kind); k == Macvlan || k == IPVLAN {
		d.Kind = k
	}
	for kind, v := range attributes(b[unix.SizeofIfInfomsg:]) {
		switch kind {
		case unix.IFLA_GROUP:
			d.Group = number(v)
		case unix.IFLA_LINKINFO:
			d.decodeInfo(v)
		}
	}
	return d, true
}

func (d *foundDevice) decodeInfo(b []byte) {
	for kind, v := range attributes(b) {
		if kind != infoData {
			continue
		}
		for kind, v := range attributes(v) {
			switch {
			case d.Kind == Macvlan && kind == macvlanMode:
				if number(v) != macvlanPrivate {
					d.Mode = otherMode
				}
			case d.Kind == IPVLAN && kind == ipvlanMode && len(v) >= 2:
				if binary.NativeEndian.Uint16(v) != ipvlanL2 {
					d.Mode = otherMode
				}
			case d.Kind == IPVLAN && kind == ipvlanFlags && len(v) >= 2 && d.Mode != otherMode:
				d.Mode = IPVLANMode(binary.NativeEndian.Uint16(v))
			}
		}
	}
}
