package ipvsadm

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"uvs/control"
)

// ordered returns the services of a listing: in ipvsadm's order, with their servers, or in
// the kernel's. The list itself is left as it is.
func ordered(list []control.Service, sorted bool) []*control.Service {
	services := make([]*control.Service, len(list))
	for i := range list {
		s := list[i]
		if sorted {
			s.Servers = append([]control.Server(nil), s.Servers...)
			mergeSort(s.Servers, compareServers)
		}
		services[i] = &s
	}
	if sorted {
		mergeSort(services, func(a, b **control.Service) int { return compareServices(*a, *b) })
	} else {
		kernelOrder(services)
	}
	return services
}

// kernelOrder puts services with marks behind the others, by the last byte of the mark, as
// IPVS's two tables give them. The others stay in the order of our table: where a kernel's
// hash puts them depends on an address in its memory.
func kernelOrder(services []*control.Service) {
	slices.SortStableFunc(services, func(a, b *control.Service) int {
		switch {
		case a.Fwmark == 0 || b.Fwmark == 0:
			return cmp.Compare(min(a.Fwmark, 1), min(b.Fwmark, 1))
		default:
			return cmp.Compare(a.Fwmark%256, b.Fwmark%256)
		}
	})
}

func compareServices(a, b *control.Service) int {
	return cmp.Or(
		int(int32(a.Fwmark-b.Fwmark)),
		family(a)-family(b),
		protocolNumber(a)-protocolNumber(b),
		compareAddr(a.Address, b.Address),
		int(a.Port)-int(b.Port),
	)
}

func compareServers(a, b *control.Server) int {
	return cmp.Or(compareAddr(a.Address, b.Address), int(a.Port)-int(b.Port))
}

// family orders IPv4 before IPv6.
func family(s *control.Service) int {
	if s.IPv6 || s.Address.Is6() {
		return 6
	}
	return 4
}

// protocolNumber is the IP protocol; services with a mark are all of TCP.
func protocolNumber(s *control.Service) int {
	switch s.Protocol {
	case control.UDP:
		return 17
	case control.SCTP:
		return 132
	}
	return 6
}

// compareAddr compares as libipvs does: by the sign of the 32-bit difference, so that
// 10.0.0.1 comes after 192.168.0.1 (the difference wraps). IPv6 addresses are compared so
// word by word, and one with an IPv4 address as if that had three words of zero behind it;
// the other way about only the first word counts.
func compareAddr(a, b netip.Addr) int {
	words := 1
	if a.Is6() {
		words = 4
	}
	x, y := addrWords(a), addrWords(b)
	for i := range words {
		if c := int(int32(x[i] - y[i])); c != 0 {
			return c
		}
	}
	return 0
}

func addrWords(a netip.Addr) (w [4]uint32) {
	b := a.AsSlice()
	for i := 0; i < len(b); i += 4 {
		w[i/4] = binary.BigEndian.Uint32(b[i:])
	}
	return w
}

// mergeSort sorts as glibc's qsort(3) does up to 2.36. compareAddr is not
// transitive (10.0.0.1 < 100.64.0.1 < 192.168.0.1 < 10.0.0.1), so the order depends
// on which elements are compared, and another algorithm gives another listing.
func mergeSort[T any](s []T, compare func(a, b *T) int) {
	if len(s) < 2 {
		return
	}
	half := len(s) / 2
	mergeSort(s[:half], compare)
	mergeSort(s[half:], compare)
	left, right := append([]T(nil), s[:half]...), s[half:]
	for i := 0; len(left) > 0; i++ {
		if len(right) == 0 || compare(&left[0], &right[0]) <= 0 {
			s[i], left = left[0], left[1:]
		} else {
			s[i], right = right[0], right[1:]
		}
	}
}
