package config

import (
	"net/netip"
	"strings"
)

// A serverDraft is a real_server being read.
type serverDraft struct {
	level
	statement *Statement
	title     string
	addr      netip.AddrPort
	delivery  delivery
	weight    maybe[int]
	inhibit   maybe[bool]
	upper     uint32
	lower     uint32
	mail      maybe[bool]
	up, down  *Command
	checkers  []*checkDraft

	resolved bool // model is set
	model    []Checker
}

// realServer binds one real_server into d, unless it is to be skipped, which is reported.
func (b *binder) realServer(d *serviceDraft, s *Statement, vs values) {
	addr, ok := b.endpoint("real_server", vs, "the server")
	if !ok {
		return
	}
	r := &serverDraft{statement: s, title: title(s), addr: addr, delivery: d.delivery}
	b.each("real_server", s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		switch k.canonical() {
		case "weight":
			r.weight.to(int(vs[0].number))
		case "inhibit_on_failure":
			r.inhibit.to(vs[0].flag())
		case "lvs_method":
			b.method(&r.delivery, s)
		case "uthreshold":
			r.upper = uint32(vs[0].number)
		case "lthreshold":
			r.lower = uint32(vs[0].number)
		case "notify_up":
			b.scriptOnce(&r.up, s)
		case "notify_down":
			b.scriptOnce(&r.down, s)
		case "smtp_alert":
			r.mail.to(vs[0].flag())
		default:
			switch {
			case strings.HasSuffix(k.name, "_CHECK") || strings.HasSuffix(k.name, "_GET"):
				b.checker(r, k, s)
			case !r.bind(k.canonical(), vs):
				panic(unbound("real_server", k))
			}
		}
	})
	if r.delivery.method != TUN {
		f := familyOf(addr.Addr())
		switch {
		case d.family == anyFamily:
			d.family = f
		case d.family != f:
			w := s.Args[0]
			b.diags.errorf(w.Pos, w.Text, "%s is of another address family than %s and is ignored: only TUN may mix them", r.title, d.title)
			return
		}
	}
	d.servers = append(d.servers, r)
}

// method reads NAT, DR or TUN [type ipip|gue|gre] [port N] [nocsum|csum|remcsum] into p. As in keepalived, a tunnel
// that is wrong in itself still leaves its method, with the tunnel of before.
func (b *binder) method(p *delivery, s *Statement) {
	args := s.Args
	if len(args) == 0 {
		b.diags.errorf(s.Pos, "", "%s needs a forwarding method after it (have: DR, NAT, TUN)", s.Keyword).fatal()
		return
	}
	w := args[0]
	m, ok := map[string]Method{"NAT": NAT, "DR": DR, "TUN": TUN}[w.Text]
	if !ok {
		d := b.diags.errorf(w.Pos, w.Text, "%s %q is not a forwarding method (have: DR, NAT, TUN)", s.Keyword, w.Text)
		d.suggest(suggest(w.Text, []string{"DR", "NAT", "TUN"}))
		return
	}
	p.method = m
	if t, ok := b.tunnel(s, args[1:]); ok {
		p.tunnel = t
		if m != TUN && len(args) > 1 {
			b.diags.errorf(args[1].Pos, args[1].Text, "%s %s takes no options of a tunnel; they are ignored", s.Keyword, m).silent()
		}
	}
}

// tunnel reads the words after a method.
func (b *binder) tunnel(s *Statement, args []Word) (t Tunnel, ok bool) {
	t = Tunnel{Type: "ipip", Checksum: "nocsum"}
	fault := func(w Word, format string, v ...any) (Tunnel, bool) {
		b.diags.errorf(w.Pos, w.Text, "%s: "+format+"; the options of the tunnel are ignored", append([]any{s.Keyword}, v...)...)
		return Tunnel{}, false
	}
	for ; len(args) > 0; args = args[1:] {
		w := args[0]
		switch w.Text {
		case "type", "port":
			if len(args) < 2 {
				return fault(w, "%s needs a value after it", w.Text)
			}
			args = args[1:]
			v := args[0]
			if w.Text == "port" {
				n, ok := parseNumber(v.Text, num(1, 65535))
				if !ok {
					return fault(v, "port %q is not a whole number from 1 to 65535", v.Text)
				}
				t.Port = uint16(n)
				break
			}
			if v.Text != "ipip" && v.Text != "gue" && v.Text != "gre" {
				return fault(v, "type %q is not a kind of tunnel (have: gre, gue, ipip)", v.Text)
			}
			t.Type = v.Text
		case "nocsum", "csum", "remcsum":
			t.Checksum = w.Text
		default:
			return fault(w, "%q is not an option of a tunnel (have: csum, nocsum, port, remcsum, type)", w.Text)
		}
	}
	at := Word{Pos: s.Pos, Text: title(s)}
	switch {
	case t.Type == "gue" && t.Port == 0:
		return fault(at, "type gue needs port N")
	case t.Type != "gue" && t.Port != 0:
		return fault(at, "type %s takes no port", t.Type)
	case t.Type == "ipip" && t.Checksum != "nocsum":
		return fault(at, "type ipip takes no %s", t.Checksum)
	case t.Type == "gre" && t.Checksum == "remcsum":
		return fault(at, "type gre takes no remcsum")
	}
	return t, true
}
