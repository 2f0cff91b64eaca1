package table

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// An Extra is what a service has beyond IPVS. It belongs to a key, not to an entry: an
// operator's edits leave it alone, and a service that is added later has it.
type Extra struct {
	// ReplyByUplink sends answers to where the client's packets came from.
	ReplyByUplink bool
	// Pool is where its connections get local ends from (FULLNAT); the zero Pool is none.
	Pool Pool
	// Removed is what becomes of the connections of its servers that are removed.
	Removed Removal
}

// Extras are what services have beyond IPVS, by their names, and what counts for all that say nothing of it. Nobody
// changes the map any more once a table has it.
type Extras struct {
	Services map[Key]Extra
	Removed  Removal
}

// A Removal says what becomes of the connections of a server that is removed. The zero Removal leaves it to IPVS.
type Removal struct {
	How Fate
	// Time is how long they may go on with Drain; 0: until they end.
	Time time.Duration
}

// A Fate is what becomes of connections: see forwarding.Fate.
type Fate uint8

// The fates.
const (
	AsIPVS Fate = iota
	Drain
	Drop
	Reset
)

// String says it in words that go on where connections stand.
func (r Removal) String() string {
	switch {
	case r.How == Drain && r.Time > 0:
		return fmt.Sprintf("go on until they end, for %s at most", r.Time)
	case r.How == Drain:
		return "go on until they end"
	case r.How == Drop:
		return "are cut without a word"
	case r.How == Reset:
		return "are reset"
	}
	return "end as in IPVS"
}

// Departure says what becomes of the connections of a server that was in the list of a service before, and is not in
// that of t. It is IPVS's if only checks have taken the server out. What t says of a service, or of all, counts; of one
// that is gone what was said before still does.
func (t *Table) Departure(before *Table, k Key, addr netip.AddrPort) Removal {
	s := t.live(k)
	if s != nil && slices.ContainsFunc(s.servers, func(r *server) bool { return r.addr == addr && !r.deleted }) {
		return Removal{}
	}
	own := t.extras.Services[k].Removed
	if own.How == AsIPVS && s == nil {
		own = before.extras.Services[k].Removed
	}
	if own.How == AsIPVS {
		return t.extras.Removed
	}
	return own
}

// A Pool is a set of local ends: the ports from FirstPort to LastPort of the addresses of some
// ranges, first and last included. Ranges that are not used are not valid.
type Pool struct {
	Ranges              [8][2]netip.Addr
	FirstPort, LastPort uint16
}

// Extend makes extras what services have beyond IPVS from now on, and returns what changed of
// those in the table, one line each. The table keeps them.
func (t *Table) Extend(extras Extras) (lines []string) {
	for _, s := range t.services {
		if !s.deleted && s.listedBefore() && t.extras.Services[s.key] != extras.Services[s.key] {
			lines = append(lines, fmt.Sprintf("changed service %s in the extra file", s.key))
		}
	}
	if was := t.extras.Removed; was != extras.Removed {
		lines = append(lines, fmt.Sprintf("changed removed_servers: connections that %s → %s", was, extras.Removed))
	}
	t.extras = extras
	return lines
}
