package config

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// bfd binds one bfd_instance.
func (b *binder) bfd(s *Statement, vs values) {
	const longestName = 31
	d := BFD{
		Pos: s.Pos, Name: vs[0].word.Text,
		MinRx: 10 * time.Millisecond, MinTx: 10 * time.Millisecond, IdleTx: time.Second, Multiplier: 5,
	}
	if len(d.Name) > longestName {
		b.diags.errorf(s.Pos, d.Name, "the name of bfd_instance %s is longer than %d bytes; it is ignored", d.Name, longestName)
		return
	}
	for i := range b.config.BFDs {
		if o := &b.config.BFDs[i]; o.Name == d.Name {
			b.diags.errorf(s.Pos, d.Name, "bfd_instance %s is already defined (%s); this one is ignored", d.Name, o.Pos.from(s.Pos))
			return
		}
	}
	bad := false
	b.each("bfd_instance", s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		switch k.canonical() {
		case "neighbor_ip":
			a, ok := socketAddr(s.Args[0].Text)
			if !ok {
				b.diags.errorf(s.Args[0].Pos, s.Args[0].Text, "%s %q is not an IPv4 or IPv6 address; bfd_instance %s is ignored", s.Keyword, s.Args[0].Text, d.Name)
				bad = true
			}
			d.Neighbour = a
		case "source_ip":
			a, ok := socketAddr(s.Args[0].Text)
			if !ok {
				b.diags.errorf(s.Args[0].Pos, s.Args[0].Text, "source_ip %q is not an IPv4 or IPv6 address; it is ignored", s.Args[0].Text)
				return
			}
			d.Source = a
		default:
			b.bfdWord(&d, k, s, vs)
		}
	})
	if !bad && b.finishBFD(&d, s) {
		b.config.BFDs = append(b.config.BFDs, d)
	}
	// keepalived's VRRP process does not look at what the BFD process refuses.
	if d.VRRP {
		b.trackedBFDs[d.Name] = trackable{d.Pos, d.Weight, d.Reverse}
	}
}

// bfdWord binds the words of a bfd_instance that are no addresses.
func (b *binder) bfdWord(d *BFD, k *keyword, s *Statement, vs values) {
	switch k.canonical() {
	case "min_rx":
		b.milliseconds(&d.MinRx, s, time.Millisecond)
	case "min_tx":
		b.milliseconds(&d.MinTx, s, time.Millisecond)
	case "idle_tx":
		b.milliseconds(&d.IdleTx, s, time.Second)
	case "multiplier":
		d.Multiplier = uint8(vs[0].number)
	case "passive":
		d.Passive = true
	case "ttl":
		d.TTL = uint8(vs[0].number)
	case "max_hops":
		d.MaxHops = int(vs[0].number)
	case "multihop":
		d.MultiHop = true
	case "weight":
		if vs[0].set {
			d.Weight = int(vs[0].number)
		}
		d.Reverse = b.reverseAfter("bfd_instance "+d.Name, s.Args[1:], d.Reverse)
	case "vrrp":
		d.VRRP = true
	case "checker":
		d.Checker = true
	default:
		panic(unbound("bfd_instance", k))
	}
}

// milliseconds binds an interval of BFD: milliseconds with up to three decimals.
func (b *binder) milliseconds(to *time.Duration, s *Statement, least time.Duration) {
	const most, sensible = time.Duration(math.MaxUint32/1000) * time.Millisecond, 10 * time.Second
	w := s.Args[0]
	d, exact, ok := parseMilliseconds(w.Text)
	switch {
	case !ok || d < least || d > most:
		b.diags.errorf(w.Pos, w.Text, "%s %q is not a number of milliseconds from %d to %d; it is ignored", s.Keyword, w.Text, least.Milliseconds(), most.Milliseconds())
		return
	case !exact:
		b.diags.warnf(w.Pos, w.Text, "%s %q has more than 3 decimals and is rounded", s.Keyword, w.Text)
	case d > sensible:
		b.diags.warnf(w.Pos, w.Text, "%s %s ms is longer than is sensible (%d)", s.Keyword, w.Text, sensible.Milliseconds()).silent()
	}
	*to = d
}

// parseMilliseconds reads decimal milliseconds; more than 3 decimals are rounded and exact is false.
func parseMilliseconds(s string) (d time.Duration, exact, ok bool) {
	const decimals = 3
	whole, frac, _ := strings.Cut(s, ".")
	exact = len(frac) <= decimals
	up := !exact && frac[decimals] >= '5'
	n, err := strconv.ParseUint(strings.TrimLeft(whole, blanks)+(frac + "000")[:decimals], 10, 40)
	if up {
		n++
	}
	return time.Duration(n) * time.Microsecond, exact, err == nil && strings.Trim(frac, "0123456789") == ""
}

// finishBFD checks and completes an instance; false means that there is none. The defaults of who is told are set in
// any case.
func (b *binder) finishBFD(d *BFD, s *Statement) bool {
	const ttl4, ttl6 = 255, 64
	if !d.VRRP && !d.Checker {
		d.VRRP, d.Checker = true, true
	}
	if !d.Neighbour.IsValid() {
		b.diags.errorf(s.Pos, d.Name, "bfd_instance %s has no neighbor_ip and is ignored", d.Name)
		return false
	}
	if d.Source.IsValid() && !sameFamily(d.Source, d.Neighbour) {
		b.diags.errorf(s.Pos, d.Name, "source_ip %s and neighbor_ip %s of bfd_instance %s are not of one family; it is ignored", d.Source, d.Neighbour, d.Name)
		return false
	}
	for i := range b.config.BFDs {
		o := &b.config.BFDs[i]
		if o.Neighbour == d.Neighbour && (o.Source == d.Source || o.Source == netip.Addr{} || d.Source == netip.Addr{}) {
			b.diags.errorf(s.Pos, d.Name, "bfd_instance %s has the neighbor_ip %s of bfd_instance %s (%s) and not another source_ip; it is ignored", d.Name, d.Neighbour, o.Name, o.Pos.from(s.Pos))
			return false
		}
	}
	if d.TTL == 0 {
		d.TTL = ttl4
		if d.Neighbour.Is6() {
			d.TTL = ttl6
		}
	}
	const noMatter = 255 // what -1 means, in keepalived's eight bits
	if d.MaxHops > int(d.TTL) || d.MaxHops < 0 && d.TTL < noMatter {
		b.diags.warnf(s.Pos, d.Name, "max_hops %d of bfd_instance %s is above its ttl and set to %d", d.MaxHops, d.Name, d.TTL)
		d.MaxHops = int(d.TTL)
	}
	return true
}
