package daemon

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"uvs/config"
	"uvs/control"
	"uvs/health"
	"uvs/internal/table"
)

// translate puts a configuration into the engines' terms. It is pure.
func translate(c *config.Config) plan {
	var p plan
	p.timeouts = timeouts{tcp: c.Global.Timeouts.TCP, tcpFin: c.Global.Timeouts.TCPFin, udp: c.Global.Timeouts.UDP}
	p.holdings = translateHoldings(c)
	p.vrrp, p.notes = planVRRP(c)
	p.devices = devicePlan{c.Instances, ownMACs(c.Instances, c.Global.VRRP.AddressMACPrefix)}
	p.fitness = planFitness(c, &p.vrrp.spec)
	p.herald = planHerald(c)
	p.scripts = c.Global.Scripts
	p.whole = wholePlan{
		startup: c.Global.Startup, shutdown: c.Global.Shutdown,
		startupTimeout: c.Global.StartupTimeout, shutdownTimeout: c.Global.ShutdownTimeout,
		afterBoot: c.Global.VRRP.DelayAfterBoot, initial: c.Global.NotifyInitial, states: c.Global.VRRP.StatesOnReload,
	}
	p.floating = floating(c)
	p.suspends = make(map[string][]netip.Addr)
	seen := make(map[health.Key]bool)
	blocks := blocksOf(c.VirtualServers)
	for i, v := range c.VirtualServers {
		f := translateService(v, blocks[i])
		p.services = append(p.services, f)
		if v.HASuspend {
			p.suspends[f.Group] = append(p.suspends[f.Group], f.Key.Addr)
		}
		for _, r := range v.RealServers {
			x := translateHealth(f, r, c)
			if seen[x.health.Key] { // the services of a group are checked once
				continue
			}
			seen[x.health.Key] = true
			p.checked = append(p.checked, x)
		}
	}
	p.index()
	p.notes = append(p.notes, unservedNotes(c, p.services)...)
	p.marks = c.Extra.Marks
	p.notes = append(p.notes, onePacketNotes(c, p.services)...)
	p.extras = translateExtra(&c.Extra)
	p.notes = append(p.notes, extraNotes(&c.Extra, p.services)...)
	p.limits = translateLimits(&c.Extra, p.services)
	return p
}

// translateHoldings lists what the instances own while they are masters, and what is static.
func translateHoldings(c *config.Config) (p holdingPlan) {
	add := func(instance string, closed bool, addresses []config.Address, routes []config.Route, rules []config.Rule) {
		for _, a := range addresses {
			p.addresses = append(p.addresses, addressPlan{instance: instance, device: a.Device, prefix: a.Prefix, closed: closed, spec: a})
		}
		for _, r := range routes {
			p.routes = append(p.routes, routePlan{instance, r})
		}
		for _, r := range rules {
			p.rules = append(p.rules, rulePlan{instance, r})
		}
	}
	add("", false, c.Static.Addresses, c.Static.Routes, c.Static.Rules)
	own := ownMACs(c.Instances, c.Global.VRRP.AddressMACPrefix)
	for n := range c.Instances {
		i := &c.Instances[n]
		closed := !i.Accept && i.Priority != owner
		add(i.Name, closed, onOwnDevice(i, i.Addresses, own), i.Routes, i.Rules)
		add(i.Name, closed, onOwnDevice(i, i.Excluded, own), nil, nil)
	}
	return p
}

// onOwnDevice puts addresses onto the device with the virtual MAC of their instance, or one of own.
func onOwnDevice(i *config.Instance, list []config.Address, own []ownMAC) []config.Address {
	list = slices.Clone(list)
	for n := range list {
		if list[n].MAC == config.InstanceMAC && i.MAC != nil {
			list[n].Device = i.MAC.Name
		}
		if name := ownMACOf(own, i.Name, list[n]); name != "" {
			list[n].Device = name
		}
	}
	return list
}

// unservedNotes names the services that are listed and get no packets.
func unservedNotes(c *config.Config, services []table.FileService) (notes []string) {
	t := table.New()
	t.Load(services)
	pos := make(map[table.Key]config.Pos)
	for i, v := range c.VirtualServers {
		pos[services[i].Key] = v.Pos
	}
	for _, s := range t.Services() {
		if len(s.Unserved) > 0 {
			notes = append(notes, fmt.Sprintf("%s: note: service %s is not run: %s", pos[s.Key], s.Key, strings.Join(s.Unserved, ", ")))
		}
	}
	return notes
}

// onePacketNotes names the services whose one-packet scheduling leaves clients without answers.
func onePacketNotes(c *config.Config, services []table.FileService) (notes []string) {
	for i, v := range c.VirtualServers {
		if v.OnePacket && slices.ContainsFunc(v.RealServers, func(r config.RealServer) bool { return r.Method == config.NAT }) {
			notes = append(notes, fmt.Sprintf("%s: note: with ops service %s keeps no connections: as in IPVS, nothing translates what its servers answer by NAT; "+
				"by direct routing they answer clients themselves", v.Pos, services[i].Key))
		}
	}
	return notes
}

// translateHealth returns the checks of a server.
func translateHealth(f table.FileService, r config.RealServer, c *config.Config) (x checked) {
	x = checked{group: f.Group, server: endOf(r.Addr)}
	x.health.Key = health.Key{Service: f.Group, Server: f.Naming.Server(x.server)}
	for _, k := range r.Checkers {
		check := translateCheck(k, c.ClientTLS)
		if check.Kind == health.VIP {
			check.Delivery = deliveryOf(&r)
		}
		check.LogAllFailures = check.LogAllFailures || c.Global.LogAllFailures
		x.health.Checks = append(x.health.Checks, check)
	}
	return x
}

// A block is what the services of one virtual_server have in common.
type block struct {
	group  string // table.FileService.Group: the name, and what else tells it from others
	naming table.Naming
}

// blocksOf returns the block of each service.
func blocksOf(list []config.VirtualServer) []block {
	out := make([]block, len(list))
	blocks := make(map[string][]config.Pos)
	protocols := make(map[config.Pos]config.Protocol) // the marks of a group have none of their own
	for i := range list {
		protocols[list[i].Pos] = max(protocols[list[i].Pos], list[i].Protocol)
	}
	for i := range list {
		v := &list[i]
		name := serviceKey(v).String()
		group := name
		if v.Fwmark != 0 && v.IPv6 {
			group += " (IPv6)" // the mark may have a service of each family
		}
		if v.Group != "" {
			name = "[" + v.Group + "]:0"
			n := slices.Index(blocks[v.Group], v.Pos)
			if n < 0 {
				n = len(blocks[v.Group])
				blocks[v.Group] = append(blocks[v.Group], v.Pos)
			}
			if group = name; n > 0 {
				group = fmt.Sprintf("%s (%d)", name, n+1)
			}
		}
		out[i] = block{group: group, naming: table.Naming{Service: name, Protocol: uint8(protocols[v.Pos])}}
	}
	return out
}

// serviceKey is the name of a service in the table.
func serviceKey(v *config.VirtualServer) table.Key {
	if v.Fwmark != 0 {
		return table.Key{Fwmark: v.Fwmark, IPv6: v.IPv6}
	}
	end := endOf(v.Addr)
	return table.Key{Protocol: uint8(v.Protocol), Addr: end.Addr(), Port: end.Port()}
}

func translateService(v config.VirtualServer, of block) table.FileService {
	f := table.FileService{
		Key: serviceKey(&v), Group: of.group, Naming: of.naming,
		Settings: table.ServiceSettings{
			Scheduler: v.Scheduler, Flags: table.Flags(v.Flags), Persistence: v.PersistenceTimeout,
			Engine: v.PersistenceEngine, OnePacket: v.OnePacket,
		},
		Quorum: int(min(v.Quorum, math.MaxInt32)), Hysteresis: int(min(v.Hysteresis, math.MaxInt32)), Alpha: v.Alpha,
	}
	if g := v.Granularity; g.IsValid() {
		mask := g.As16()
		if g.Is4() {
			four := g.As4()
			mask = [16]byte{}
			copy(mask[:], four[:])
		}
		f.Settings.Netmask, f.Settings.Together = normalMask(mask, g.Is6()), g.Is4() && g.IsUnspecified()
	}
	for _, r := range v.RealServers {
		f.Servers = append(f.Servers, table.FileServer{
			Addr: endOf(r.Addr), Inhibit: r.InhibitOnFailure,
			Settings: table.ServerSettings{
				Method: translateMethod(r.Method), Tunnel: translateTunnel(r.Tunnel), Weight: r.Weight,
				Upper: r.UpperThreshold, Lower: r.LowerThreshold,
			},
			StartsDown: slices.ContainsFunc(r.Checkers, func(c config.Checker) bool { return c.Common().Alpha }),
		})
	}
	if y := v.SorryServer; y != nil {
		f.Sorry = &table.FileServer{
			Addr: endOf(y.Addr), Inhibit: y.Inhibit,
			Settings: table.ServerSettings{Method: translateMethod(y.Method), Tunnel: translateTunnel(y.Tunnel), Weight: 1},
		}
	}
	return f
}

// normalMask makes of a mask that keeps every client apart the zero value.
func normalMask(mask [16]byte, v6 bool) [16]byte {
	n := 4
	if v6 {
		n = 16
	}
	for _, b := range mask[:n] {
		if b != 0xff {
			return mask
		}
	}
	return [16]byte{}
}

func endOf(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(canonical(a.Addr()), a.Port())
}

func translateTunnel(t *config.Tunnel) table.Tunnel {
	if t == nil {
		return table.Tunnel{}
	}
	return table.Tunnel{Type: t.Type, Port: t.Port, Checksum: t.Checksum}
}

func translateMethod(m config.Method) table.Method {
	switch m {
	case config.DR:
		return table.DR
	case config.TUN:
		return table.TUN
	}
	return table.NAT
}

// describe tells what would run, in the control API's terms.
func (p *plan) describe() (addresses []control.Address, services []control.Service) {
	for _, a := range p.holdings.addresses {
		addresses = append(addresses, control.Address{Address: a.prefix, Interface: a.device, Instance: a.instance, State: control.AddressStandby})
	}
	t := table.New()
	t.Load(p.services)
	t.Extend(p.extras)
	for _, s := range t.Services() {
		x := serviceStatus(s, nil)
		for _, r := range s.Servers {
			server := serverStatus(r, nil, nil)
			for _, c := range p.checked {
				if c.group == s.Group && c.server == r.Addr && !r.Sorry {
					for _, check := range c.health.Checks {
						server.Checks = append(server.Checks, control.Check{Kind: check.Word(), State: control.CheckPending})
					}
				}
			}
			x.Servers = append(x.Servers, server)
		}
		services = append(services, x)
	}
	return addresses, services
}
