package steer

import (
	"fmt"
	"net/netip"
	"slices"
)

// A Pattern says more about packets than a [Match] can: all that it says must fit.
type Pattern struct {
	// Take has frames that fit dropped; otherwise they are left to the stack, whatever patterns
	// follow. The services and servers of Rules count all the same.
	Take bool
	// Destination is where the packet goes, IPv4 or IPv6 without a zone.
	Destination netip.Prefix
	// Source is where it comes from; the zero Prefix stands for everywhere.
	Source netip.Prefix
	// Proto is an IP protocol number as in a Match, or 0 for all three of them.
	Proto uint8
	// First and Last are the range of destination ports.
	First, Last uint16
	// Link is the index of the device it comes in by; 0 stands for every one.
	Link int
}

// maxPatterns keeps a program within the 4096 instructions that it may have before Linux 5.2.
const maxPatterns = 96

// String returns the pattern as "192.0.2.0/28 ports 80-90 tcp from 10.0.0.0/8".
func (x Pattern) String() string {
	s := fmt.Sprintf("%s ports %d-%d %s", x.Destination, x.First, x.Last, protoName(x.Proto))
	if x.Source.IsValid() {
		s += " from " + x.Source.String()
	}
	if x.Link != 0 {
		s += fmt.Sprintf(" by interface %d", x.Link)
	}
	return s
}

// fits reports whether a packet that came in by a link is one of the pattern's.
func (x Pattern) fits(p packet, link int) bool {
	return x.Destination.Contains(p.dst) &&
		(!x.Source.IsValid() || x.Source.Contains(p.src)) &&
		(x.Proto == 0 || x.Proto == p.proto) &&
		x.First <= p.dstPort && p.dstPort <= x.Last &&
		(x.Link == 0 || x.Link == link)
}

// check reports what keeps the pattern from being steered.
func (x Pattern) check() error {
	switch {
	case !x.Destination.IsValid():
		return fmt.Errorf("no destination")
	case x.Destination.Addr().Is4In6() || x.Source.IsValid() && x.Source.Addr().Is6() != x.Destination.Addr().Is6():
		return fmt.Errorf("its addresses are not of one family")
	case x.Proto != 0 && !steered(x.Proto):
		return fmt.Errorf("protocol %d is neither TCP (6), UDP (17) nor SCTP (132)", x.Proto)
	case x.Last < x.First:
		return fmt.Errorf("the range of ports is empty")
	}
	return nil
}

// normalPatterns returns the patterns with one protocol each and prefixes without host bits. The
// last ones that leave packets alone say nothing.
func normalPatterns(list []Pattern) ([]Pattern, error) {
	last := len(list)
	for last > 0 && !list[last-1].Take {
		last--
	}
	var all []Pattern
	for _, x := range list[:last] {
		if err := x.check(); err != nil {
			return nil, fmt.Errorf("steer pattern %s: %w", x, err)
		}
		x.Destination = x.Destination.Masked()
		if x.Source.IsValid() {
			x.Source = x.Source.Masked()
		}
		protos := []uint8{x.Proto}
		if x.Proto == 0 {
			protos = []uint8{protoTCP, protoUDP, protoSCTP}
		}
		for _, p := range protos {
			x.Proto = p
			all = append(all, x)
		}
	}
	if len(all) > maxPatterns {
		return nil, fmt.Errorf("steer: %d patterns of source, prefix, interface or many ports, %d at the most; "+
			"rules of single addresses, a protocol and few ports need none", len(all), maxPatterns)
	}
	return all, nil
}

// ofFamily returns the patterns for packets whose addresses have so many bits.
func ofFamily(list []Pattern, bits int) []Pattern {
	return slices.DeleteFunc(slices.Clone(list), func(x Pattern) bool { return x.Destination.Addr().BitLen() != bits })
}
