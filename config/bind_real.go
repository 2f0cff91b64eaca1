package config

import (
	"net/netip"
)

// A serverDraft is a real_server being read.
type serverDraft struct {
	level
	statement *Statement
	title     string
	addr      netip.AddrPort
	method    Method
	weight    maybe[int]
	inhibit   maybe[bool]
	checkers  []*checkDraft
}

// realServer binds one real_server; nil where it is to be skipped, which is reported.
func (b *binder) realServer(s *Statement, vs values) *serverDraft {
	d := &serverDraft{statement: s, title: title(s)}
	var ok bool
	if d.addr, ok = b.endpoint("real_server", vs, "the server"); !ok {
		b.inner(lookup("virtual_server", "real_server"), s)
		return nil
	}
	b.each("real_server", s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		switch k.canonical() {
		case "weight":
			d.weight.to(int(vs[0].number))
		case "inhibit_on_failure":
			d.inhibit.to(!vs[0].set || vs[0].on)
		case "lvs_method":
			if m, ok := b.method(k, s); ok {
				d.method = m
			}
		case "TCP_CHECK", "HTTP_GET":
			d.checkers = append(d.checkers, b.checker(k, s))
		default:
			if !d.bind(k.canonical(), vs) {
				panic(unbound("real_server", k))
			}
		}
	})
	return d
}

// resolveServer fills in what a server inherits, and reports false where it does not fit its service.
func (b *binder) resolveServer(v *serviceDraft, d *serverDraft) (RealServer, bool) {
	r := RealServer{
		Pos:              d.statement.Pos,
		Addr:             d.addr,
		Method:           v.method,
		Weight:           first(1, d.weight, v.weight),
		InhibitOnFailure: first(false, d.inhibit, v.inhibit),
	}
	if d.method != 0 {
		r.Method = d.method
	}
	if !v.addr.IsValid() { // by fwmark or group: there is nothing to compare with
		return r, true
	}
	if r.Method != TUN && !sameFamily(r.Addr.Addr(), v.addr.Addr()) {
		b.diags.errorf(d.statement.Args[0].Pos, d.statement.Args[0].Text, "%s is of another address family than %s and is ignored: only TUN may mix them", d.title, v.title)
		return r, false
	}
	switch port := v.addr.Port(); {
	case r.Addr.Port() == 0:
		r.Addr = netip.AddrPortFrom(r.Addr.Addr(), port)
	case r.Method != NAT && r.Addr.Port() != port:
		b.diags.warnf(d.statement.Args[1].Pos, d.statement.Args[1].Text, "%s cannot map ports: port %d of %s is set to %d as in %s",
			r.Method, r.Addr.Port(), d.title, port, v.title)
		r.Addr = netip.AddrPortFrom(r.Addr.Addr(), port)
	}
	for _, c := range d.checkers {
		if checker := c.resolve(v, d, r); checker != nil {
			r.Checkers = append(r.Checkers, checker)
		}
	}
	return r, true
}

// method reads NAT, DR or TUN [type ipip|gue|gre] [port N] [nocsum|csum|remcsum].
func (b *binder) method(k *keyword, s *Statement) (Method, bool) {
	w := s.Args[0]
	m, ok := map[string]Method{"NAT": NAT, "DR": DR, "TUN": TUN}[w.Text]
	switch {
	case !ok:
		d := b.diags.errorf(w.Pos, w.Text, "%s %q is not a forwarding method (have: DR, NAT, TUN)", k.name, w.Text)
		d.suggest(suggest(w.Text, []string{"DR", "NAT", "TUN"}))
	case m == TUN:
		b.tunnel(k, s)
	case len(s.Args) > 1:
		b.extra(k, s.Args[1:])
	}
	return m, ok
}

// tunnel checks the words after TUN.
func (b *binder) tunnel(k *keyword, s *Statement) {
	kind, port, sum := "ipip", "", ""
	for args := s.Args[1:]; len(args) > 0; args = args[1:] {
		w := args[0]
		switch w.Text {
		case "type", "port":
			if len(args) < 2 {
				b.diags.errorf(w.Pos, w.Text, "%s needs a value after it", w.Text)
				return
			}
			args = args[1:]
			if w.Text == "type" {
				kind = args[0].Text
			} else {
				port = args[0].Text
			}
		case "nocsum", "csum", "remcsum":
			sum = w.Text
		default:
			b.diags.errorf(w.Pos, w.Text, "%q is not an option of a tunnel; it is ignored", w.Text).
				suggest(suggest(w.Text, []string{"type", "port", "nocsum", "csum", "remcsum"}))
		}
	}
	fault := ""
	switch {
	case kind != "ipip" && kind != "gue" && kind != "gre":
		fault = `type "` + kind + `" is not a kind of tunnel (have: gre, gue, ipip)`
	case kind == "gue" && port == "":
		fault = "type gue needs port N"
	case kind != "gue" && port != "":
		fault = "type " + kind + " takes no port"
	case kind == "ipip" && sum != "":
		fault = "type ipip takes no " + sum
	case kind == "gre" && sum == "remcsum":
		fault = "type gre takes no remcsum"
	}
	if _, ok := parseNumber(port, num(1, 65535)); fault == "" && port != "" && !ok {
		fault = `port "` + port + `" is not a whole number from 1 to 65535`
	}
	if fault != "" {
		b.diags.errorf(s.Pos, title(s), "%s TUN: %s", k.name, fault)
	}
}
