package daemon

import (
	"fmt"
	"maps"
	"slices"

	"uvs/config"
	"uvs/vrrp/notify"
)

// A namedCommand is a program that a configuration may have run, and what names it.
type namedCommand struct {
	by          string
	args        []string
	user, group string
}

// commands lists the programs of a plan, but for the readers of FIFOs.
func (p *plan) commands() (list []namedCommand) {
	for _, x := range p.fitness.scripts {
		list = append(list, namedCommand{"vrrp_script " + x.Name, x.Command.Args, x.Command.User, x.Command.Group})
	}
	told := func(what string, of map[string]notify.Config) {
		for _, name := range slices.Sorted(maps.Keys(of)) {
			c := of[name]
			for _, x := range []*notify.Command{c.Master, c.Backup, c.Fault, c.Stop, c.Deleted, c.MasterRxLowerPri, c.Any} {
				if x != nil {
					list = append(list, namedCommand{what + " " + name, x.Args, x.User, x.Group})
				}
			}
		}
	}
	told("vrrp_instance", p.herald.instances)
	told("vrrp_sync_group", p.herald.groups)
	for _, group := range slices.Sorted(maps.Keys(p.herald.services)) {
		a := p.herald.services[group]
		all := []*config.Command{a.up, a.down}
		for _, s := range a.servers {
			all = append(all, s.up, s.down)
		}
		for _, x := range all {
			if x != nil {
				list = append(list, namedCommand{"service " + group, x.Args, x.User, x.Group})
			}
		}
	}
	if x := p.whole.shutdown; x != nil {
		list = append(list, namedCommand{"shutdown_script", x.Args, x.User, x.Group})
	}
	for n := range p.checked {
		c := &p.checked[n]
		for i := range c.health.Checks {
			if x := &c.health.Checks[i].Program; len(x.Args) > 0 {
				list = append(list, namedCommand{fmt.Sprintf("check of server %s of %s", c.server, c.group), x.Args, x.User, x.Group})
			}
		}
	}
	return list
}
