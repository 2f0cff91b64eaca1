package netlab

import "fmt"

// An Offload is a switch of a network device, named as ethtool -K names it.
type Offload uint32

// The switches. A value is the ethtool command that sets it (linux/ethtool.h).
const (
	OffloadRX  Offload = 0x15 // ETHTOOL_SRXCSUM: verify checksums on receive
	OffloadTX  Offload = 0x17 // ETHTOOL_STXCSUM: complete checksums on transmit
	OffloadSG  Offload = 0x19 // ETHTOOL_SSG: scatter-gather
	OffloadTSO Offload = 0x1f // ETHTOOL_STSO: TCP segmentation
	OffloadGSO Offload = 0x24 // ETHTOOL_SGSO: generic segmentation
	OffloadGRO Offload = 0x2c // ETHTOOL_SGRO: generic receive
)

// String returns the name that ethtool uses.
func (o Offload) String() string {
	switch o {
	case OffloadRX:
		return "rx"
	case OffloadTX:
		return "tx"
	case OffloadSG:
		return "sg"
	case OffloadTSO:
		return "tso"
	case OffloadGSO:
		return "gso"
	case OffloadGRO:
		return "gro"
	}
	return fmt.Sprintf("offload %#x", uint32(o))
}

// SetOffload switches an offload of an interface, as ethtool -K does. Off for OffloadTX
// also takes the segmentation offloads away, which need it; on does not bring them back.
func (h *Host) SetOffload(ifname string, o Offload, on bool) error {
	var data uint32
	if on {
		data = 1
	}
	err := h.Do(func() error { return setEthtoolValue(ifname, uint32(o), data) })
	if err != nil {
		return fmt.Errorf("host %s: interface %s: set offload %s to %t: %w", h.name, ifname, o, on, err)
	}
	return nil
}

// Offload reports whether an offload of an interface is on.
func (h *Host) Offload(ifname string, o Offload) (on bool, err error) {
	err = h.Do(func() error {
		// Every "get" command precedes its "set" command.
		data, err := ethtoolValue(ifname, uint32(o)-1)
		on = data != 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("host %s: interface %s: read offload %s: %w", h.name, ifname, o, err)
	}
	return on, nil
}
