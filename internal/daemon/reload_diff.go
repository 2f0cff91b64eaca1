package daemon

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"uvs/config"
	"uvs/health"
	"uvs/internal/delta"
)

// counts is what makes two configurations different: not where a line stands. What is said of
// addresses, routes and rules has lines of its own.
func counts() delta.Rule {
	return delta.Rule{Skip: []string{"Pos", "Addresses", "Excluded", "Routes", "Rules"}, Secret: []string{"Password", "HMAC", "Auth"}}
}

// diffPlans says what of a plan is another than before, one line each, but for services and
// servers: what of these changes depends on operators as well, and the table tells it. It is
// pure.
func diffPlans(old, next *plan) []string {
	var d differ
	d.holdings(&old.holdings, &next.holdings)
	named(&d, "vrrp_instance", old.devices.instances, next.devices.instances, func(i *config.Instance) string { return i.Name })
	named(&d, "vrrp_sync_group", groupsOf(old), groupsOf(next), func(g *groupPlan) string { return g.Name })
	named(&d, "vrrp_script", old.fitness.scripts, next.fitness.scripts, func(x *config.VRRPScript) string { return x.Name })
	named(&d, "track_file", old.fitness.files, next.fitness.files, func(x *config.TrackFile) string { return x.Name })
	named(&d, "track_process", old.fitness.processes, next.fitness.processes, func(x *config.TrackProcess) string { return x.Name })
	named(&d, "bfd_instance", old.fitness.bfds, next.fitness.bfds, func(x *config.BFD) string { return x.Name })
	named(&d, "notify FIFO", old.herald.fifos, next.herald.fifos, func(x *fifoPlan) string { return x.Path })
	d.checks(old, next)
	d.alerts(old.herald.services, next.herald.services)
	d.fields("mail", old.herald.mail, next.herald.mail)
	d.fields("rules for scripts", old.scripts, next.scripts)
	d.fields("global_defs", old.whole.named(), next.whole.named())
	if old.herald.router != next.herald.router {
		d.tell("changed router_id: %s → %s", old.herald.router, next.herald.router)
	}
	d.fields("timeouts", old.timeouts.named(), next.timeouts.named())
	if !counts().Same(old.marks, next.marks) {
		d.tell("changed rules for firewall marks")
	}
	return d.lines
}

// named is what a reload may change of it.
func (w *wholePlan) named() any {
	return struct {
		StartupScript, ShutdownScript   *config.Command
		StartupTimeout, ShutdownTimeout time.Duration
		DelayAfterBoot                  time.Duration
		NotifyInitial, StatesOnReload   bool
	}{w.startup, w.shutdown, w.startupTimeout, w.shutdownTimeout, w.afterBoot, w.initial, w.states}
}

// named are timeouts as the configuration has them.
func (t timeouts) named() any {
	word := func(d time.Duration) string {
		if d == 0 {
			return "default"
		}
		return d.String()
	}
	return struct{ TCP, TCPFin, UDP string }{word(t.tcp), word(t.tcpFin), word(t.udp)}
}

// A groupPlan is what a reload may change of a vrrp_sync_group.
type groupPlan struct {
	Name           string
	Members, Track []string
	Notify         any
}

func groupsOf(p *plan) []groupPlan {
	list := make([]groupPlan, len(p.vrrp.spec.Groups))
	for n, g := range p.vrrp.spec.Groups {
		x := groupPlan{Name: g.Name, Members: g.Members, Notify: p.herald.groups[g.Name]}
		for _, t := range g.Track {
			x.Track = append(x.Track, fmt.Sprintf("%+v", t))
		}
		list[n] = x
	}
	return list
}

// A differ collects lines.
type differ struct{ lines []string }

func (d *differ) tell(format string, args ...any) {
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// fields tells of a change of something that there is one of.
func (d *differ) fields(what string, before, after any) {
	if list := counts().Fields(before, after); len(list) > 0 {
		d.tell("changed %s: %s", what, strings.Join(list, ", "))
	}
}

// named tells of things that have names.
func named[T any](d *differ, what string, before, after []T, name func(*T) string) {
	old := make(map[string]*T, len(before))
	for n := range before {
		old[name(&before[n])] = &before[n]
	}
	for n := range after {
		x := &after[n]
		o := old[name(x)]
		if o == nil {
			d.tell("added %s %s", what, name(x))
			continue
		}
		delete(old, name(x))
		d.fields(what+" "+name(x), *o, *x)
	}
	for n := range before {
		if x := &before[n]; old[name(x)] == x {
			d.tell("removed %s %s", what, name(x))
		}
	}
}

// A held is an address, a route or a rule of an instance.
type held struct {
	Name     string // for people
	Instance string // "" is static
	Spec     any
}

// holdings tells of addresses, routes and rules.
func (d *differ) holdings(old, next *holdingPlan) {
	named(d, "address", heldAddresses(old), heldAddresses(next), func(x *held) string { return x.Name })
	d.both("route", heldRoutes(old), heldRoutes(next))
	d.both("rule", heldRules(old), heldRules(next))
}

func heldAddresses(p *holdingPlan) []held {
	list := make([]held, len(p.addresses))
	for n, a := range p.addresses {
		list[n] = held{fmt.Sprintf("%s on %s", a.prefix, cmp.Or(a.device, "no interface")), a.instance, a.spec}
	}
	return list
}

func heldRoutes(p *holdingPlan) []held {
	list := make([]held, len(p.routes))
	for n, r := range p.routes {
		list[n] = held{fmt.Sprintf("to %s of %s", r.spec.Dest, ownerName(r.instance)), r.instance, r.spec}
	}
	return list
}

func heldRules(p *holdingPlan) []held {
	list := make([]held, len(p.rules))
	for n, r := range p.rules {
		list[n] = held{"of " + ownerName(r.instance), r.instance, r.spec}
	}
	return list
}

func ownerName(instance string) string {
	if instance == "" {
		return "the static block"
	}
	return "vrrp_instance " + instance
}

// both tells what is in one list alone. There are few of these, and they have no names.
func (d *differ) both(what string, before, after []held) {
	has := func(list []held, x held) bool {
		return slices.ContainsFunc(list, func(y held) bool { return counts().Same(x, y) })
	}
	for _, x := range before {
		if !has(after, x) {
			d.tell("removed %s %s", what, x.Name)
		}
	}
	for _, x := range after {
		if !has(before, x) {
			d.tell("added %s %s", what, x.Name)
		}
	}
}

// checks tells of servers that stay and are checked in another way.
func (d *differ) checks(old, next *plan) {
	for n := range next.checked {
		x := &next.checked[n]
		before, known := old.find(x.health.Key)
		if known && !slices.EqualFunc(before.health.Checks, x.health.Checks, func(a, b health.Check) bool { return counts().Same(a, b) }) {
			d.tell("changed checks of server %s of %s", x.server, x.group)
		}
	}
}

// alerts tells of services that stay and tell others than before.
func (d *differ) alerts(old, next map[string]serviceAlerts) {
	for _, group := range slices.Sorted(maps.Keys(next)) {
		if before, known := old[group]; known && !before.same(next[group]) {
			d.tell("changed who is told of %s", group)
		}
	}
}

// same reports whether the same are told; servers that are in one of them alone do not count.
func (a serviceAlerts) same(o serviceAlerts) bool {
	told := func(x, y *config.Command) bool { return counts().Same(x, y) }
	if a.mail != o.mail || a.omega != o.omega || !told(a.up, o.up) || !told(a.down, o.down) {
		return false
	}
	for addr, x := range a.servers {
		if y, known := o.servers[addr]; known && (x.mail != y.mail || x.check != y.check || !told(x.up, y.up) || !told(x.down, y.down)) {
			return false
		}
	}
	return true
}
