package announce

import (
	"fmt"
	"net"
	"net/netip"

	"uvs/internal/wire"
)

// A Link is the Ethernet device to speak on.
type Link struct {
	Index int
	Name  string
	// MAC is the source of what is sent and, in announcements, the address's new MAC. It
	// may differ from the device's own.
	MAC [6]byte
}

// broadcast is the Ethernet broadcast address.
var broadcast = wire.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// frame puts an Ethernet header in front of a packet.
func (l Link) frame(dst wire.MAC, etherType uint16, packet []byte) []byte {
	f := make([]byte, wire.EthernetLen, wire.EthernetLen+len(packet))
	wire.Ethernet(f).SetAddresses(dst, l.MAC)
	f[12], f[13] = byte(etherType>>8), byte(etherType)
	return append(f, packet...)
}

// check refuses what can be neither probed nor announced.
func (l Link) check(addr netip.Addr) error {
	switch {
	case l.Index <= 0:
		return fmt.Errorf("interface %q: index %d is not a device", l.Name, l.Index)
	case l.MAC == [6]byte{}:
		return fmt.Errorf("interface %s: no hardware address", l.Name)
	case !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() || addr == netip.AddrFrom4(broadcast4):
		return fmt.Errorf("address %s is not a host's", addr)
	}
	return nil
}

// broadcast4 is IPv4's limited broadcast address.
var broadcast4 = [4]byte{255, 255, 255, 255}

// hardwareAddr converts for the standard library.
func hardwareAddr(m wire.MAC) net.HardwareAddr { return net.HardwareAddr(m[:]) }
