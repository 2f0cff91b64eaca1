package daemon

import (
	"slices"
	"sync"

	"uvs/config"
	"uvs/internal/announce"
	"uvs/internal/hostnet"
)

// A pacePlan says how fast virtual addresses may be announced on interfaces.
type pacePlan struct {
	usual  announce.Pace // of each interface that is in no group
	groups []paceGroup
}

// A paceGroup is a garp_group: its interfaces share one pace.
type paceGroup struct {
	interfaces []string
	pace       announce.Pace
}

func planPace(c *config.Config) pacePlan {
	p := pacePlan{usual: announce.Pace{GARP: c.Global.VRRP.GARPInterval, NA: c.Global.VRRP.GNAInterval}}
	for _, g := range c.GARPGroups {
		p.groups = append(p.groups, paceGroup{g.Interfaces, announce.Pace{GARP: g.GARPInterval, NA: g.GNAInterval}})
	}
	return p
}

// paces hold the announcements of all instances to a plan. It is safe for use by many goroutines.
type paces struct {
	plan pacePlan

	mu     sync.Mutex // guards what follows
	limits map[string]*announce.Limit
}

func newPaces(p pacePlan) *paces { return &paces{plan: p, limits: make(map[string]*announce.Limit)} }

// of returns the limit of an interface, nil for none.
func (p *paces) of(name string) *announce.Limit {
	pace, key := p.plan.usual, name
	for _, g := range p.plan.groups {
		if slices.Contains(g.interfaces, name) {
			pace, key = g.pace, g.interfaces[0]
		}
	}
	if pace == (announce.Pace{}) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limits[key] == nil {
		p.limits[key] = announce.NewLimit(pace)
	}
	return p.limits[key]
}

// limit gives targets their limits: a virtual MAC's frames leave by the interface below it.
func (p *paces) limit(s *hostnet.Snapshot, targets []announce.Target) {
	for n := range targets {
		l, ok := s.LinkByIndex(targets[n].Link.Index)
		if below, there := s.LinkByIndex(l.Parent); ok && there && (l.Kind == string(hostnet.Macvlan) || l.Kind == string(hostnet.IPVLAN)) {
			l = below
		}
		targets[n].Limit = p.of(l.Name)
	}
}
