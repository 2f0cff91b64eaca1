package ftp

import "net/netip"

// longestAddress is that of "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".
const longestAddress = 45

// address reads an address of the family.
func address(text []byte, v6 bool, to *[16]byte) bool {
	if len(text) > longestAddress {
		return false
	}
	a, err := netip.ParseAddr(string(text))
	if err != nil || a.Zone() != "" || a.Is6() != v6 {
		return false
	}
	if v6 {
		*to = a.As16()
		return true
	}
	four := a.As4()
	copy(to[:], four[:])
	return true
}
