package daemon

import (
	"fmt"
	"net/netip"
	"sync"

	"uvs/forwarding"
	"uvs/health"
)

// verdicts remember which servers their checks hold for alive.
type verdicts struct {
	mu      *sync.Mutex // guards down
	down    map[health.Key]bool
	servers map[health.Key]checked // fixed
	keys    map[serverID]health.Key
}

type serverID struct {
	service forwarding.ServiceKey
	server  netip.AddrPort
}

type checked struct {
	serverID
	plan serverPlan
}

func newVerdicts(p *plan) verdicts {
	v := verdicts{
		mu:      new(sync.Mutex),
		down:    make(map[health.Key]bool),
		servers: make(map[health.Key]checked),
		keys:    make(map[serverID]health.Key),
	}
	for _, s := range p.services {
		for _, r := range s.servers {
			id := serverID{s.key, r.addr}
			v.servers[r.health.Key] = checked{id, r}
			v.keys[id] = r.health.Key
			v.down[r.health.Key] = !r.health.StartsUp()
		}
	}
	return v
}

// alive reports whether a server is to get connections.
func (v *verdicts) alive(service forwarding.ServiceKey, server netip.AddrPort) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.down[v.keys[serverID{service, server}]]
}

// set notes a verdict and reports whether it is news.
func (v *verdicts) set(k health.Key, down bool) (checked, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c, known := v.servers[k]
	if !known || v.down[k] == down {
		return c, false
	}
	v.down[k] = down
	return c, true
}

// onHealth carries the checks' events into the log and the service table.
func (d *director) onHealth(e health.Event) {
	if e.Message != "" {
		d.log.Info(e.Message)
	}
	switch e.Kind {
	case health.ServerUp:
		d.setAlive(e, true)
	case health.ServerDown:
		d.setAlive(e, false)
	}
}

func (d *director) setAlive(e health.Event, alive bool) {
	c, news := d.verdicts.set(e.Key, !alive)
	if !news {
		return
	}
	if !alive {
		d.doubtServer(c.server.Addr())
	}
	d.log.Info(tableMessage(c.plan.inhibit, alive, e.Key), verdictDetail(e)...)
	err := d.engine.Update(func(tx *forwarding.Tx) error { return enterVerdict(tx, c, alive) })
	if err != nil {
		d.verdicts.set(e.Key, alive) // it did not become so: the next verdict is news again
		d.log.Error("service table not changed", "service", e.Service, "server", e.Server, "error", err)
	}
}

// enterVerdict changes the table as keepalived does: a dead server leaves it, or keeps its
// place with weight 0 if it has inhibit_on_failure.
func enterVerdict(tx *forwarding.Tx, c checked, alive bool) error {
	switch {
	case alive && c.plan.inhibit:
		return tx.EditServer(c.service, c.server, c.plan.spec)
	case alive:
		return tx.AddServer(c.service, c.server, c.plan.spec)
	case c.plan.inhibit:
		spec := c.plan.spec
		spec.Weight = 0
		return tx.EditServer(c.service, c.server, spec)
	default:
		return tx.DeleteServer(c.service, c.server)
	}
}

// tableMessage is keepalived's log line for a change of the table
// (health-checker's perform_svr_state in keepalived 2.x).
func tableMessage(inhibit, alive bool, k health.Key) string {
	word, preposition := "Removing", "from"
	switch {
	case alive && inhibit:
		word, preposition = "Enabling", "of"
	case alive:
		word, preposition = "Adding", "to"
	case inhibit:
		word, preposition = "Disabling", "of"
	}
	return fmt.Sprintf("%s service %s %s VS %s", word, k.Server, preposition, k.Service)
}

func verdictDetail(e health.Event) []any {
	var detail []any
	if e.Reason != "" {
		detail = append(detail, "reason", e.Reason)
	}
	if e.Since != 0 {
		detail = append(detail, "failing_for", e.Time.Sub(e.Since))
	}
	return detail
}

// checks lists the servers for the health set.
func (p *plan) checks() []health.Server {
	var list []health.Server
	for _, s := range p.services {
		for _, r := range s.servers {
			list = append(list, r.health)
		}
	}
	return list
}
