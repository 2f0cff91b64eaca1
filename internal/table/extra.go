package table

import (
	"fmt"
	"maps"
	"net/netip"
)

// An Extra is what a service has beyond IPVS. It belongs to a key, not to an entry: an
// operator's edits leave it alone, and a service that is added later has it.
type Extra struct {
	// ReplyByUplink sends answers to where the client's packets came from.
	ReplyByUplink bool
	// Pool is where its connections get local ends from (FULLNAT); the zero Pool is none.
	Pool Pool
}

// A Pool is a set of local ends: the ports from FirstPort to LastPort of the addresses of some
// ranges, first and last included. Ranges that are not used are not valid.
type Pool struct {
	Ranges              [8][2]netip.Addr
	FirstPort, LastPort uint16
}

// Extend makes extras what services have beyond IPVS from now on, and returns what changed of
// those in the table, one line each. The table keeps the map, which nobody changes any more.
func (t *Table) Extend(extras map[Key]Extra) []string {
	var changed []Key
	for _, s := range t.services {
		if !s.deleted && s.listedBefore() && t.extras[s.key] != extras[s.key] {
			changed = append(changed, s.key)
		}
	}
	t.extras = maps.Clone(extras)
	lines := make([]string, len(changed))
	for i, k := range changed {
		lines[i] = fmt.Sprintf("changed service %s in the extra file", k)
	}
	return lines
}
