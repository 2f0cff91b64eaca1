package daemon

import (
	"net/netip"
	"time"

	"uvs/config"

	"uvs/conntrack"
	"uvs/health"
	"uvs/internal/table"
)

// A plan is a configuration in the engines' own terms: what is to run. It is a value that
// nobody changes after translate made it.
type plan struct {
	services []table.FileService
	extras   table.Extras
	checked  []checked
	limits   map[string]int          // of servers that go down at once (health.Set.Limit)
	suspends map[string][]netip.Addr // virtual addresses that a service's checks are bound to (ha_suspend), by its group
	floating map[netip.Addr]bool     // addresses of VRRP
	byKey    map[health.Key]int      // into checked
	holdings holdingPlan
	vrrp     vrrpPlan
	devices  devicePlan
	fitness  fitnessPlan
	herald   heraldPlan
	scripts  config.Scripts
	whole    wholePlan
	timeouts timeouts
	marks    []config.MarkRule
	notes    []string // what is in the configuration and is not run, a line each
}

// A wholePlan is what stands before and behind everything.
type wholePlan struct {
	startup, shutdown               *config.Command
	startupTimeout, shutdownTimeout time.Duration
	afterBoot                       time.Duration // VRRP begins when the machine is up for so long
	initial                         bool          // tell of servers and quorums that are up at the start
	states                          bool          // tell pipes of the states of instances at a reload
}

// A checked is a server whose health counts, and what the service table knows it by. The
// services of one virtual_server share it.
type checked struct {
	group  string
	server netip.AddrPort
	health health.Server
}

// timeouts are those of idle connections that the configuration sets, 0 where it does not.
type timeouts struct {
	tcp, tcpFin, udp time.Duration
}

// since returns what is to be set where old was in force before: 0 for what stays, so that
// an operator's --set outlives a reload that says the same as before.
func (t timeouts) since(old timeouts) timeouts {
	usual := conntrack.DefaultTimeouts()
	pick := func(now, before time.Duration, state conntrack.State) time.Duration {
		switch now {
		case before:
			return 0
		case 0:
			return usual[state]
		}
		return now
	}
	return timeouts{
		tcp: pick(t.tcp, old.tcp, conntrack.Established), tcpFin: pick(t.tcpFin, old.tcpFin, conntrack.FinWait), udp: pick(t.udp, old.udp, conntrack.UDP),
	}
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
	if n, ok := p.byKey[k]; ok {
		return p.checked[n], true
	}
	return checked{}, false
}

// index makes checked be found by its keys.
func (p *plan) index() {
	p.byKey = make(map[health.Key]int, len(p.checked))
	for n := range p.checked {
		p.byKey[p.checked[n].health.Key] = n
	}
}
