package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"sort"

	"uvs/forwarding"
	"uvs/internal/steer"
	"uvs/internal/table"
)

// A step is the way from one effective table to the next. Most change a service or two of many, as a verdict of the checks
// does: these cost what the change costs, not what the table does.
type step struct {
	from, to *effective
	whole    bool  // anything may be another
	changed  []int // else places in from.engine and to.engine of services that may be; packets are taken as before
}

// stepTo derives what follows from services, where e is in force. It is pure.
func (e *effective) stepTo(services []table.Service, marks *markSet) step {
	whole := func() step { return step{from: e, to: effectiveOf(services, marks), whole: true} }
	if len(services) != len(e.services) || marks != e.goal.marks {
		return whole()
	}
	s := step{from: e, to: &effective{services: services, engine: slices.Clone(e.engine), at: e.at, goal: e.goal}}
	for i := range services {
		was, is := &e.services[i], &services[i]
		if is.Same(was) {
			continue
		}
		if is.Key != was.Key || len(is.Unserved)+len(was.Unserved) > 0 {
			return whole()
		}
		var before, after goal
		before.take(was, marks)
		after.take(is, marks)
		before.normal()
		after.normal()
		if !after.equal(before) {
			return whole()
		}
		s.to.engine[e.at[i]] = engineServiceOf(is)
		s.changed = append(s.changed, e.at[i])
	}
	return s
}

// sync makes the step in the engine.
func (s *step) sync(tx *forwarding.Tx, fate fateOf) error {
	if s.whole {
		return s.to.sync(tx, s.from.infos(), fate)
	}
	for _, i := range s.changed {
		have := s.from.engine[i].info()
		if err := s.to.engine[i].sync(tx, &have, fate); err != nil {
			return fmt.Errorf("service %s: %w", have.Key, err)
		}
	}
	return nil
}

// infos lists what the engine has, as far as sync asks.
func (e *effective) infos() []forwarding.ServiceInfo {
	list := make([]forwarding.ServiceInfo, len(e.engine))
	for i := range e.engine {
		list[i] = e.engine[i].info()
	}
	return list
}

func (s *engineService) info() forwarding.ServiceInfo {
	x := forwarding.ServiceInfo{Key: s.key, Spec: s.spec, Servers: make([]forwarding.ServerInfo, len(s.servers))}
	for i, r := range s.servers {
		x.Servers[i] = forwarding.ServerInfo{Addr: r.addr, Spec: r.spec}
	}
	return x
}

// plus returns what is in the goal, and services and servers beside. It costs little if they are in it already.
func (g goal) plus(services, servers []steer.Match) goal {
	in := func(sorted, list []steer.Match) bool {
		return !slices.ContainsFunc(list, func(m steer.Match) bool {
			i := sort.Search(len(sorted), func(i int) bool { return byMatch(sorted[i], m) >= 0 })
			return i == len(sorted) || sorted[i] != m
		})
	}
	if in(g.services, services) && in(g.servers, servers) {
		return g
	}
	return g.with(goal{services: services, servers: servers})
}

// sync brings the engine's services in line. Servers are added oldest first: each comes to
// the head of the list. What becomes of the connections of servers that leave says fate.
func (e *effective) sync(tx *forwarding.Tx, current []forwarding.ServiceInfo, fate fateOf) error {
	have := make(map[forwarding.ServiceKey]*forwarding.ServiceInfo, len(current))
	for i := range current {
		have[current[i].Key] = &current[i]
	}
	want := make(map[forwarding.ServiceKey]bool, len(e.engine))
	for _, s := range e.engine {
		want[s.key] = true
	}
	for _, s := range current {
		if !want[s.Key] {
			for i := range s.Servers {
				tx.Retire(s.Key, s.Servers[i].Addr, fate(s.Key, s.Servers[i].Addr))
			}
			if err := tx.DeleteService(s.Key); err != nil {
				return fmt.Errorf("service %s: %w", s.Key, err)
			}
		}
	}
	for i := range e.engine {
		if err := e.engine[i].sync(tx, have[e.engine[i].key], fate); err != nil {
			return fmt.Errorf("service %s: %w", e.engine[i].key, err)
		}
	}
	return nil
}

func (s *engineService) sync(tx *forwarding.Tx, have *forwarding.ServiceInfo, fate fateOf) error {
	if have == nil {
		if err := tx.AddService(s.key, s.spec); err != nil {
			return err
		}
		have = &forwarding.ServiceInfo{}
	} else if have.Spec != s.spec {
		if err := tx.EditService(s.key, s.spec); err != nil {
			return err
		}
	}
	old := have.Servers
	for i := range old {
		if s.find(old[i].Addr) == nil {
			tx.Retire(s.key, old[i].Addr, fate(s.key, old[i].Addr))
		}
	}
	if !s.sameOrder(old) {
		// Servers that leave and return within one change stay themselves.
		for _, r := range old {
			if err := tx.DeleteServer(s.key, r.Addr); err != nil {
				return fmt.Errorf("server %s: %w", r.Addr, err)
			}
		}
		old = nil
	}
	for _, r := range old {
		if s.find(r.Addr) == nil {
			if err := tx.DeleteServer(s.key, r.Addr); err != nil {
				return fmt.Errorf("server %s: %w", r.Addr, err)
			}
		}
	}
	for _, r := range slices.Backward(s.servers) {
		i := slices.IndexFunc(old, func(x forwarding.ServerInfo) bool { return x.Addr == r.addr })
		var err error
		switch {
		case i < 0:
			err = tx.AddServer(s.key, r.addr, r.spec)
		case old[i].Spec != r.spec:
			err = tx.EditServer(s.key, r.addr, r.spec)
		}
		if err != nil {
			return fmt.Errorf("server %s: %w", r.addr, err)
		}
	}
	return nil
}

func (s *engineService) find(a netip.AddrPort) *engineServer {
	for i := range s.servers {
		if s.servers[i].addr == a {
			return &s.servers[i]
		}
	}
	return nil
}

// sameOrder reports whether the servers that stay stand in the order wanted, behind those
// that come.
func (s *engineService) sameOrder(old []forwarding.ServerInfo) bool {
	var stay, want []netip.AddrPort
	for _, r := range old {
		if s.find(r.Addr) != nil {
			stay = append(stay, r.Addr)
		}
	}
	fresh := false
	for _, r := range slices.Backward(s.servers) {
		if slices.Contains(stay, r.addr) {
			if fresh {
				return false
			}
			want = append(want, r.addr)
		} else {
			fresh = true
		}
	}
	slices.Reverse(want)
	return slices.Equal(stay, want)
}
