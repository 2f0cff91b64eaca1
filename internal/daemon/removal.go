package daemon

import (
	"fmt"
	"net/netip"

	"uvs/forwarding"
	"uvs/internal/table"
)

// A fateOf says what becomes of the connections of a server that leaves the engine's table.
type fateOf func(k forwarding.ServiceKey, server netip.AddrPort) forwarding.Removal

// fates says it for a change from one table to another.
func fates(before, after *table.Table) fateOf {
	return func(k forwarding.ServiceKey, server netip.AddrPort) forwarding.Removal {
		r := after.Departure(before, tableKey(k), server)
		return forwarding.Removal{How: forwarding.Fate(r.How), Time: r.Time}
	}
}

// tableKey is the inverse of engineKey.
func tableKey(k forwarding.ServiceKey) table.Key {
	if mark := k.Mark(); mark != 0 {
		return table.Key{Fwmark: mark, IPv6: k.Addr.Is6()}
	}
	return table.Key{Protocol: k.Protocol, Addr: k.Addr, Port: k.Port}
}

// departures says of each server that has connections and leaves by a change what becomes of them, one line each.
func departures(e *forwarding.Engine, after *effective, fate fateOf) (lines []string) {
	stays := make(map[forwarding.ServiceKey]*engineService, len(after.engine))
	for i := range after.engine {
		stays[after.engine[i].key] = after.engine[i]
	}
	for _, s := range e.Services() {
		for i := range s.Servers {
			r := &s.Servers[i]
			if x := stays[s.Key]; x != nil && x.find(r.Addr) != nil || r.Active+r.Inactive == 0 {
				continue
			}
			what := plural(r.Active+r.Inactive, "connection")
			lines = append(lines, fmt.Sprintf("%s to server %s of service %s: %s", what, r.Addr, s.Key, inWords(fate(s.Key, r.Addr), e.Sysctls())))
		}
	}
	return lines
}

// inWords says what becomes of connections, where IPVS decides by its settings.
func inWords(r forwarding.Removal, set forwarding.Sysctls) string {
	switch {
	case r.How != forwarding.AsIPVS:
		return table.Removal{How: table.Fate(r.How), Time: r.Time}.String()
	case set.ExpireNodestConn:
		return "are ended (expire_nodest_conn)"
	}
	return table.Removal{How: table.Drop}.String()
}

// partingNotes says of each removed server whose connections go on how many there still are.
func partingNotes(e *forwarding.Engine) (notes []string) {
	for _, p := range e.Partings() {
		note := fmt.Sprintf("removed server %s of service %s drains: %s left", p.Server, p.Service, plural(p.Connections, "connection"))
		if p.Left != 0 {
			note += fmt.Sprintf(", to be reset in %.0f s", p.Left.Seconds())
		}
		notes = append(notes, note)
	}
	return notes
}
