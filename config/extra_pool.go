package config

import (
	"net/netip"
	"strings"
)

// Bounds of a Pool.
const (
	MaxPoolRanges = 8
	MaxPoolAddrs  = 256
)

// A Pool is the local ends of a service with FULLNAT: what its servers by NAT see its connections come from. Pools can be
// compared by ==. The zero Pool is none.
type Pool struct {
	// Pos is where it is configured.
	Pos Pos
	// Ranges are first and last addresses, both included, of one family; those not used are not valid.
	Ranges [MaxPoolRanges][2]netip.Addr
	// FirstPort and LastPort, both included, are the ports of each address: 1024 to 65535 unless the file says otherwise.
	FirstPort, LastPort uint16
	// Device is the interface that the addresses are put on; "" leaves it to the host's routes.
	Device string
}

// Addrs lists the addresses, no more than one beyond MaxPoolAddrs.
func (p *Pool) Addrs() []netip.Addr {
	var list []netip.Addr
	for _, r := range p.Ranges {
		for a := r[0]; a.IsValid() && a.Compare(r[1]) <= 0 && len(list) <= MaxPoolAddrs; a = a.Next() {
			list = append(list, a)
		}
	}
	return list
}

// pool binds the words after fullnat: ranges of addresses, then "ports FIRST-LAST" and "dev INTERFACE". It reports false
// if they make no pool.
func (x *extraBinder) pool(s *Statement) (p Pool, ok bool) {
	p = Pool{Pos: s.Pos, FirstPort: 1024, LastPort: 65535}
	refuse := func(w Word, format string, args ...any) (Pool, bool) {
		x.diags.errorf(w.Pos, w.Text, "fullnat "+format+"; the pool is ignored", args...)
		return Pool{}, false
	}
	ranges := 0
	for i := 0; i < len(s.Args); i++ {
		w := s.Args[i]
		if w.Text == "ports" || w.Text == "dev" {
			if i++; i == len(s.Args) {
				return refuse(w, "%q needs a value after it", w.Text)
			}
			v := s.Args[i]
			if w.Text == "dev" {
				if !x.link("fullnat dev", v) {
					return Pool{}, false
				}
				p.Device = v.Text
			} else if p.FirstPort, p.LastPort, ok = portRange(v.Text); !ok {
				return refuse(v, "ports %q is not a range such as 10000-10999 within 1 to 65535", v.Text)
			}
			continue
		}
		first, last, isRange := strings.Cut(w.Text, "-")
		r := [2]netip.Addr{}
		if r[0], ok = socketAddr(first); ok {
			r[1] = r[0]
			if isRange {
				r[1], ok = rangeEnd(r[0], last)
			}
		}
		switch {
		case !ok || r[0].IsMulticast() || r[0].IsUnspecified() || r[0].IsLoopback() || r[0].Zone() != "" || r[1].Compare(r[0]) < 0:
			return refuse(w, "%q is not an address of this machine's networks, nor a range such as 10.0.0.100-10.0.0.120", w.Text)
		case ranges == MaxPoolRanges:
			return refuse(w, "has more than %d ranges", MaxPoolRanges)
		case r[0].Is4() != p.v4(ranges, r[0]):
			return refuse(w, "%q is of another family than what stands before it", w.Text)
		}
		p.Ranges[ranges] = r
		ranges++
	}
	if n := len(p.Addrs()); n == 0 || n > MaxPoolAddrs {
		return refuse(s.Args[0], "has no address, or more than %d", MaxPoolAddrs)
	}
	return p, true
}

// v4 reports the family of the ranges so far, or of the first.
func (p *Pool) v4(ranges int, first netip.Addr) bool {
	if ranges > 0 {
		return p.Ranges[0][0].Is4()
	}
	return first.Is4()
}

// portRange reads "10000-10999" or "10000".
func portRange(s string) (first, last uint16, ok bool) {
	a, b, isRange := strings.Cut(s, "-")
	if !isRange {
		b = a
	}
	from, ok1 := parseNumber(a, num(1, 65535))
	to, ok2 := parseNumber(b, num(1, 65535))
	return uint16(from), uint16(to), ok1 && ok2 && from <= to
}
