package daemon

import (
	"net/netip"

	"uvs/health"
	"uvs/internal/table"
)

// A plan is a configuration in the engines' own terms: what is to run. It is a value that
// nobody changes after translate made it.
type plan struct {
	services  []table.FileService
	checked   []checked
	addresses []addressPlan
	notes     []string // what is in the configuration and is not run, a line each
}

// A checked is a server whose health counts, and what the service table knows it by. The
// services of one virtual_server share it.
type checked struct {
	group  string
	server netip.AddrPort
	health health.Server
}

// An addressPlan is a virtual address to put on an interface.
type addressPlan struct {
	instance  string // the vrrp_instance that names it, for the log
	device    string
	prefix    netip.Prefix
	broadcast netip.Addr
	label     string
	scope     int
	position  string // file:line:column
}

// checks lists the servers for the health set.
func (p *plan) checks() []health.Server {
	list := make([]health.Server, len(p.checked))
	for i, c := range p.checked {
		list[i] = c.health
	}
	return list
}

// find returns what a health key stands for.
func (p *plan) find(k health.Key) (checked, bool) {
	for _, c := range p.checked {
		if c.health.Key == k {
			return c, true
		}
	}
	return checked{}, false
}
