package hostnet

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// AddAddress gives a device an address. Of a.Flags, those that say something about an
// address count: FlagHome, FlagNoDAD, FlagManageTemp, FlagNoPrefixRoute, FlagAutoJoin and
// FlagDeprecated.
// IPv6 addresses do not run duplicate address detection, as they would not serve meanwhile,
// unless a.DAD is set: who wants it probes first. An IPv6 address with a length of 128 is
// added as deprecated (preferred lifetime 0), as keepalived does, so that the host's own
// connections do not start from a VIP; a.PreferredLifetime overrides that. IPv4 addresses
// get a broadcast address and a label only if a has them.
//
// The error is ErrExists if the device has the address already, else the kernel's.
func (w *Watcher) AddAddress(a Address) error {
	return w.actError("add address", a, w.acts.change(AddAddress{a}))
}

// DeleteAddress takes an address from a device. Link, Prefix and Peer say which. The error
// is ErrNoAddress if the device does not have it, else the kernel's.
func (w *Watcher) DeleteAddress(a Address) error {
	return w.actError("delete address", a, w.acts.change(DeleteAddress{a}))
}

// change carries out a change.
func (s *requestSocket) change(c Change) error {
	r, err := encode(c)
	if err != nil {
		return err
	}
	req := nl.NewNetlinkRequest(int(r.kind), int(r.flags)|unix.NLM_F_ACK)
	req.AddRawData(r.payload)
	_, err = s.execute(req, 0)
	return r.named(err)
}

func (w *Watcher) actError(act string, a Address, err error) error {
	if err == nil {
		return nil
	}
	name := fmt.Sprintf("device %d", a.Link)
	if l, ok := w.Snapshot().LinkByIndex(a.Link); ok {
		name = l.Name
	}
	return fmt.Errorf("%s %s on %s: %w", act, a.Prefix, name, err)
}

// Resolve asks the kernel to find out or to confirm the MAC of a neighbour, as if it had a
// packet to send there. The entry is made if it is missing; one that is reachable stays as
// it is, and one that is stale is used on for delay_first_probe_time (a sysctl, 5 s) before
// the kernel probes it. Resolve does not wait for the outcome, which the next snapshots
// show.
func (w *Watcher) Resolve(link int, addr netip.Addr) error {
	addr = addr.Unmap()
	req := nl.NewNetlinkRequest(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_ACK)
	header := make([]byte, unix.SizeofNdMsg) // struct ndmsg
	header[0] = byte(familyOf(addr))
	binary.NativeEndian.PutUint32(header[4:], uint32(link))
	header[10] = unix.NTF_USE
	req.AddRawData(header)
	req.AddRawData(nl.NewRtAttr(unix.NDA_DST, addr.AsSlice()).Serialize())
	if _, err := w.acts.execute(req, 0); err != nil {
		return fmt.Errorf("resolve %s on device %d: %w", addr, link, err)
	}
	return nil
}

// Confirm asks a neighbour that has a MAC, at that MAC, whether it is still there
// (NUD_PROBE): three times within three seconds, after which the kernel forgets the MAC.
// Until then it stays in use. A neighbour without an entry is resolved. Confirm does not
// wait for the outcome, which the next snapshots show.
func (w *Watcher) Confirm(link int, addr netip.Addr) error {
	addr = addr.Unmap()
	n, ok := w.Snapshot().Neighbour(link, addr)
	if !ok || !n.Usable {
		return w.Resolve(link, addr)
	}
	if n.State == Permanent || n.State == NoARP {
		return nil
	}
	req := nl.NewNetlinkRequest(unix.RTM_NEWNEIGH, unix.NLM_F_REPLACE|unix.NLM_F_ACK)
	header := make([]byte, unix.SizeofNdMsg) // struct ndmsg
	header[0] = byte(familyOf(addr))
	binary.NativeEndian.PutUint32(header[4:], uint32(link))
	binary.NativeEndian.PutUint16(header[8:], uint16(Probe))
	req.AddRawData(header)
	req.AddRawData(nl.NewRtAttr(unix.NDA_DST, addr.AsSlice()).Serialize())
	// Without a MAC the kernel keeps its own, which may be newer than ours.
	if _, err := w.acts.execute(req, 0); err != nil {
		return fmt.Errorf("confirm %s on device %d: %w", addr, link, err)
	}
	return nil
}
