package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"uvs/config"
	"uvs/control"
	"uvs/internal/hostnet"
	"uvs/internal/preflight"
	"uvs/internal/table"
)

const (
	// claimsEvery is how often the links are asked who else has a virtual address: a server
	// that begins to answer ARP for one takes clients away at once.
	claimsEvery = 4 * time.Second
	// lookEvery is how often the rest is looked at again when nothing is seen to change:
	// sysctls, firewalls and the servers' gateways tell nobody.
	lookEvery = 5 * time.Minute
)

// hostFindings is what the preflight found last.
type hostFindings struct {
	mu   sync.Mutex
	list []control.Finding
}

func (h *hostFindings) status() []control.Finding {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.list)
}

// update takes over new findings and returns what came up and what is over. What was known
// keeps the time it was found at.
func (h *hostFindings) update(found []preflight.Finding, now time.Time) (came, over []control.Finding) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.list
	h.list = make([]control.Finding, 0, len(found))
	for _, f := range found {
		x := control.Finding{Problem: f.Problem, Text: f.Text, Since: now}
		if i := slices.IndexFunc(old, func(o control.Finding) bool { return o.Text == f.Text && o.Problem == f.Problem }); i >= 0 {
			x.Since = old[i].Since
			old = slices.Delete(old, i, i+1)
		} else {
			came = append(came, x)
		}
		h.list = append(h.list, x)
	}
	return came, old
}

// watchHost looks the machine and its neighbours over, now and while the director runs, and
// logs what comes up and what is over.
func (d *director) watchHost(ctx context.Context) error {
	tick := time.NewTicker(claimsEvery)
	defer tick.Stop()
	var (
		facts  preflight.Facts
		site   preflight.Site
		looked time.Time
	)
	for {
		network := d.network.Snapshot()
		d.mu.Lock()
		instances := d.plan.devices.instances
		d.mu.Unlock()
		now := siteOf(d.effective.Load().services, instances, network)
		changed := facts.Network == nil || !now.Equal(site) || network.Changed(facts.Network)&^hostnet.PartNeighbours != 0
		if changed || time.Since(looked) >= lookEvery {
			facts, looked = preflight.Gather(ctx, now, network, largeReceive(network, hostnet.OffloadsOn)), time.Now()
		} else {
			facts.Claims, facts.Network = preflight.Claims(ctx, now, network), network
		}
		if ctx.Err() != nil {
			return nil // what was found then is not all
		}
		site = now
		found := slices.Concat(d.own.findings(time.Now()), preflight.Judge(site, facts))
		d.logFindings(d.host.update(found, time.Now()))
		select {
		case <-ctx.Done():
			return nil
		case <-d.own.news:
		case <-tick.C:
		}
	}
}

func (d *director) logFindings(came, over []control.Finding) {
	for _, f := range came {
		level := slog.LevelInfo
		if f.Problem {
			level = slog.LevelWarn
		}
		d.log.Log(nil, level, "host: "+f.Text) //nolint:staticcheck // slog ignores the context here
	}
	for _, f := range over {
		d.log.Info("host: over: " + f.Text)
	}
}

// siteOf is the site in the preflight's terms. It is pure.
func siteOf(services []table.Service, instances []config.Instance, network *hostnet.Snapshot) preflight.Site {
	site := preflight.Site{Unicast: slices.ContainsFunc(instances, func(i config.Instance) bool { return i.Send.Unicast() })}
	for _, s := range services {
		if len(s.Unserved) > 0 || !s.Key.Addr.IsValid() {
			continue
		}
		x := preflight.Service{Addr: s.Key.Addr, Floating: !network.IsLocal(s.Key.Addr)}
		for _, r := range s.Servers {
			pooled := r.Settings.Method == table.NAT && s.Extra.Pool != (table.Pool{})
			x.Servers = append(x.Servers, preflight.Server{
				Addr: r.Addr.Addr(), NAT: r.Settings.Method == table.NAT, Anywhere: pooled || r.Settings.Method == table.TUN,
			})
		}
		site.Services = append(site.Services, x)
	}
	return site
}

// CheckHost looks the machine over for a configuration that is to run on it, as a director
// does while it runs. It changes nothing but what its questions leave in neighbour tables,
// takes a second or two, and needs CAP_NET_ADMIN and CAP_NET_RAW. The findings are in the
// order to show them in; the error is that the file or the network cannot be read.
func CheckHost(ctx context.Context, source Source) (findings []control.Finding, err error) {
	network, err := hostnet.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, network.Close()) }()
	now := network.Snapshot()
	c, diagnostics, err := source.read(now)
	if err != nil {
		return nil, err
	}
	if diagnostics.HasFatal() {
		return nil, nil // there is nothing to run
	}
	p := planOn(c, now)
	t := table.New()
	t.Load(p.services)
	t.Extend(p.extras)
	site := siteOf(t.Services(), c.Instances, now)
	planned := now.WithAddresses(plannedOn(now, p.holdings.addresses)...)
	for _, f := range preflight.Judge(site, preflight.Gather(ctx, site, planned, largeReceive(planned, hostnet.OffloadsOn))) {
		findings = append(findings, control.Finding{Problem: f.Problem, Text: f.Text, Since: time.Now()})
	}
	return findings, ctx.Err()
}

// largeReceive are the links with large receive offload on, as offloadsOn tells, whose frames
// cannot be told apart again. Only hardware merges: a device upon others, such as a bond, has
// the switch on to pass it down, whether or not one of them can. A link that cannot be asked
// has none.
func largeReceive(s *hostnet.Snapshot, offloadsOn func(ifname string) ([]string, error)) (names []string) {
	for _, l := range s.Links {
		if !l.Ethernet || l.Loopback || l.Kind != "" {
			continue
		}
		if on, err := offloadsOn(l.Name); err == nil && slices.Contains(on, "rx-lro") {
			names = append(names, l.Name)
		}
	}
	return names
}

// plannedOn are the addresses of a plan on the links that there are.
func plannedOn(s *hostnet.Snapshot, plans []addressPlan) []hostnet.Address {
	var list []hostnet.Address
	for _, p := range plans {
		if l, ok := s.LinkByName(p.device); ok && !s.IsLocal(p.prefix.Addr()) {
			list = append(list, hostnet.Address{Link: l.Index, Prefix: netip.PrefixFrom(p.prefix.Addr(), p.prefix.Bits())})
		}
	}
	return list
}
