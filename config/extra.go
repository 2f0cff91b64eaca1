package config

import (
	"io/fs"
	"net/netip"
	"time"
)

// An Extra is what a director has beyond keepalived.conf, from a file of its own (`--extra`), so that keepalived.conf
// stays one that keepalived takes as well. The zero Extra is that of no file.
type Extra struct {
	// Services are what is said of virtual services, in the order of the file.
	Services []ExtraService
	// Marks give packets their firewall marks, in the order of the file.
	Marks []MarkRule
	// PanicThreshold is the percentage of all checked servers that were up, 1 to 100, which do not go down at once; 0 is none.
	PanicThreshold int
	// MailDigest is how long mails are collected into one; 0 sends each alone.
	MailDigest time.Duration
	// Removed is what becomes of the connections of removed servers of all services that say nothing else.
	Removed Removal
}

// An ExtraService is a virtual_server block of the extra file. It configures a service that the main file, or an
// operator, brings about.
type ExtraService struct {
	// Pos is where the block begins.
	Pos Pos
	// Addr names the service, with port 0 for one of all ports, unless Fwmark does, with the family in IPv6.
	Addr   netip.AddrPort
	Fwmark uint32
	IPv6   bool
	// Protocol is that of the service; 0 means the services of all protocols.
	Protocol Protocol
	// ReplyByUplink sends answers by NAT to where the client's packets came from, interface and router, whatever the
	// routing table says.
	ReplyByUplink bool
	// Pool gives connections to servers by NAT a source of this machine's own, so that the servers need no route back.
	Pool Pool
	// PanicThreshold is Extra's for the servers of this service alone.
	PanicThreshold int
	// Removed is Extra's for the servers of this service.
	Removed Removal
	// CheckVIP asks servers by direct routing and tunnels whether they take packets for Addr.
	CheckVIP CheckVIP
}

// extraKeywords returns the words of the extra file. It has keepalived.conf's syntax.
func extraKeywords() grammar {
	return grammar{
		"": {
			{name: "virtual_server", use: served, args: one(arg{}, opt(arg{})), block: "virtual_server"},
			{name: "mark", use: served, args: one(num(0, maxUint32)), block: "mark"},
			{name: "panic_threshold", use: served, args: one(num(1, 100))},
			{name: "mail_digest", use: served, args: one(num(1, 86400))},
			removalKeyword(),
		},
		"mark":      markKeywords(),
		"check_vip": checkVIPKeywords(),
		"virtual_server": {
			{name: "protocol", use: served, args: one(enumFold("TCP", "UDP", "SCTP"))},
			{name: "ip_family", use: served, args: one(enum("inet", "inet6"))},
			{name: "reply_by_uplink", use: served, args: onOff()},
			{name: "fullnat", use: served, args: some()},
			{name: "panic_threshold", use: served, args: one(num(1, 100))},
			removalKeyword(),
			{name: "check_vip", use: served, block: "check_vip"},
		},
	}
}

// LoadExtra reads an extra file and all it includes as Parse does. The Extra holds what would run, and the Diagnostics
// say where that differs from what is written. LoadExtra opens nothing but files of fsys.
func LoadExtra(fsys fs.FS, name string, opts Options, host Host) (Extra, Diagnostics) {
	f, parsed := Parse(fsys, name, opts)
	x := extraBinder{binder: binder{
		host: host, config: &Config{}, grammar: extraKeywords(),
		noted: make(map[noteKey]*note), answers: make(map[noteKey]answer),
	}}
	x.each("", f.Statements, func(k *keyword, s *Statement, vs values) {
		switch k.name {
		case "virtual_server":
			x.service(s, vs)
		case "mark":
			x.mark(s, vs)
		case "mail_digest":
			x.extra.MailDigest = time.Duration(vs[0].number) * time.Second
		case "panic_threshold":
			x.extra.PanicThreshold = int(vs[0].number)
		case "removed_servers":
			if r, ok := x.removal(s, vs); ok {
				x.extra.Removed = r
			}
		default:
			panic(unbound("", k))
		}
	})
	x.flushNotes()
	return x.extra, append(parsed, x.diags.list...).sorted(f.Files)
}

// An extraBinder binds an extra file.
type extraBinder struct {
	binder
	extra Extra
}

// service binds a virtual_server block.
func (x *extraBinder) service(s *Statement, vs values) {
	if len(s.Args) > 0 && s.Args[0].Text == "group" {
		x.diags.errorf(s.Args[0].Pos, "group", "an extra file names services by address or fwmark, not by group; the block is ignored")
		return
	}
	d := &serviceDraft{statement: s, title: title(s)}
	if !x.serviceName(d, vs) {
		return
	}
	e := ExtraService{Pos: s.Pos, Addr: d.addr, Fwmark: d.fwmark}
	x.each("virtual_server", s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		switch k.name {
		case "protocol":
			e.Protocol = protocols()[vs[0].word.Text]
		case "ip_family":
			e.IPv6 = vs[0].word.Text == "inet6"
		case "reply_by_uplink":
			e.ReplyByUplink = vs[0].flag()
		case "fullnat":
			if p, ok := x.pool(s); ok {
				e.Pool = p
			}
		case "panic_threshold":
			e.PanicThreshold = int(vs[0].number)
		case "removed_servers":
			if r, ok := x.removal(s, vs); ok {
				e.Removed = r
			}
		case "check_vip":
			e.CheckVIP = x.checkVIP(s)
		default:
			panic(unbound("virtual_server", k))
		}
	})
	x.servesVIP(&e, d.title)
	if v4 := e.Pool.Ranges[0][0]; v4.IsValid() && (e.Fwmark == 0 && v4.Is4() != e.Addr.Addr().Unmap().Is4() || e.Fwmark != 0 && v4.Is4() == e.IPv6) {
		x.diags.errorf(e.Pool.Pos, "fullnat", "the pool of %s is of another family than the service; it is ignored", d.title)
		e.Pool = Pool{}
	}
	for i := range x.extra.Services {
		if o := &x.extra.Services[i]; o.names(&e) {
			x.diags.errorf(s.Pos, s.Keyword, "%s stands here again, after %s; the block is ignored", d.title, o.Pos.from(s.Pos))
			return
		}
	}
	x.extra.Services = append(x.extra.Services, e)
}

// names reports whether two blocks are about one service.
func (e *ExtraService) names(o *ExtraService) bool {
	return e.Addr == o.Addr && e.Fwmark == o.Fwmark && e.IPv6 == o.IPv6 &&
		(e.Protocol == o.Protocol || e.Protocol == 0 || o.Protocol == 0)
}
