package hostnet

import (
	"fmt"
	"slices"
	"strings"
)

// SwitchOffloads switches offloads of an interface of the calling thread's network
// namespace, as ethtool -K does, and leaves those alone that it does not have. The names
// are the kernel's, as OffloadsOn returns them. It needs CAP_NET_ADMIN.
func SwitchOffloads(ifname string, names []string, on bool) error {
	f, err := readFeatures(ifname)
	if err != nil {
		return fmt.Errorf("offloads of %s: %w", ifname, err)
	}
	if err := setFeatures(ifname, f.change(names, on)); err != nil {
		return fmt.Errorf("switch offloads of %s: %w", ifname, err)
	}
	return nil
}

// OffloadsOn returns the names of the offloads of an interface that merge, split or finish
// packets on their way, may be switched, and are meant to be on.
func OffloadsOn(ifname string) ([]string, error) {
	f, err := readFeatures(ifname)
	if err != nil {
		return nil, fmt.Errorf("offloads of %s: %w", ifname, err)
	}
	var on []string
	for i, name := range f.names {
		if rewrites(name) && f.available.has(i) && f.requested.has(i) {
			on = append(on, name)
		}
	}
	return on, nil
}

// StripsVLAN reports whether an interface takes VLAN tags off the frames that it receives, and
// hands them to the kernel beside the frames.
func StripsVLAN(ifname string) (bool, error) {
	f, err := readFeatures(ifname)
	if err != nil {
		return false, fmt.Errorf("offloads of %s: %w", ifname, err)
	}
	for i, name := range f.names {
		if (name == "rx-vlan-hw-parse" || name == "rx-vlan-stag-hw-parse") && f.active.has(i) {
			return true, nil
		}
	}
	return false, nil
}

// rewrites reports whether a feature (net/ethtool/common.c, netdev_features_strings) has
// packets differ from what is or was on the wire: merged (GRO, LRO), not yet split (TSO,
// GSO), or with an unfinished or unverified checksum.
func rewrites(feature string) bool {
	switch {
	case feature == "rx-lro", feature == "rx-udp-gro-forwarding", feature == "rx-checksum":
		return true
	case strings.HasPrefix(feature, "rx-gro"), strings.HasPrefix(feature, "tx-checksum-"):
		return true
	}
	return strings.HasSuffix(feature, "-segmentation")
}

// features are the switches of an interface (ETHTOOL_GFEATURES). Bit i is the one that
// names[i] names.
type features struct {
	names     []string
	available bitset // may be switched
	requested bitset // are meant to be on; the driver may have others off that need them
	active    bitset // are on
}

// change returns what to set: which bits, and to what.
func (f *features) change(names []string, on bool) featureChange {
	c := featureChange{valid: make(bitset, len(f.available)), requested: make(bitset, len(f.available))}
	for i, name := range f.names {
		if !slices.Contains(names, name) || !f.available.has(i) {
			continue
		}
		c.valid.set(i)
		if on {
			c.requested.set(i)
		}
	}
	return c
}

// A featureChange is what ETHTOOL_SFEATURES takes; both have the same length.
type featureChange struct{ valid, requested bitset }

// A bitset is bits in blocks of 32, as ethtool has them.
type bitset []uint32

func (b bitset) has(i int) bool { return i/32 < len(b) && b[i/32]&(1<<(i%32)) != 0 }

func (b bitset) set(i int) { b[i/32] |= 1 << (i % 32) }
