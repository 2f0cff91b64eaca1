package table

import (
	"fmt"
	"maps"
)

// An Extra is what a service has beyond IPVS. It belongs to a key, not to an entry: an
// operator's edits leave it alone, and a service that is added later has it.
type Extra struct {
	// ReplyByUplink sends answers to where the client's packets came from.
	ReplyByUplink bool
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
