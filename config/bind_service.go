package config

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// defaultPersistence is what persistence_timeout means without a value.
const defaultPersistence = 360 * time.Second

// A serviceDraft is a virtual_server being read. Its words are bound in the order of the file, since some of them mean
// something else after others.
type serviceDraft struct {
	level
	statement *Statement
	title     string

	addr   netip.AddrPort // zero with a mark or group
	fwmark uint32
	group  string
	marked bool // by fwmark
	family family

	protocol    Protocol
	scheduler   string
	flags       SchedulerFlags
	onePacket   *Statement
	persistence time.Duration
	granularity netip.Addr
	engine      string
	delivery    delivery
	weight      int
	inhibit     bool

	servers []*serverDraft
	sorry   *sorryDraft

	quorum, hysteresis      uint32
	quorumWord, hystereWord *Statement
	quorumUp, quorumDown    *Command
	omega                   bool
	haSuspend               *Statement
	mail                    maybe[bool]
}

// A delivery is how packets go to servers; the zero value is not given.
type delivery struct {
	method Method
	tunnel Tunnel
}

// modelTunnel returns what the model has of the tunnel.
func (p delivery) modelTunnel() *Tunnel {
	if p.method != TUN {
		return nil
	}
	t := p.tunnel
	return &t
}

// A sorryDraft is a sorry_server being read.
type sorryDraft struct {
	statement *Statement
	addr      netip.AddrPort
	delivery  delivery
	inhibit   bool
}

// virtualServer binds one virtual_server block. What depends on other blocks comes when the whole file is read.
func (b *binder) virtualServer(s *Statement, vs values) {
	d := &serviceDraft{statement: s, title: title(s), weight: 1, quorum: 1}
	if !b.serviceName(d, vs) {
		return
	}
	b.each("virtual_server", s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		if !b.balancing(d, k, s, vs) && !b.persisting(d, k, vs) && !b.gathering(d, k, s, vs) && !d.bind(k.canonical(), vs) {
			panic(unbound("virtual_server", k))
		}
	})
	b.endOfService(d)
	b.services = append(b.services, d)
}

// serviceName reads what stands after virtual_server: ADDR [PORT], fwmark N or group NAME. It returns false where the
// service is to be skipped, which is reported.
func (b *binder) serviceName(d *serviceDraft, vs values) bool {
	switch w := vs[0].word; w.Text {
	case "fwmark", "group":
		if !vs[1].set {
			b.diags.errorf(d.statement.Pos, w.Text, "virtual_server %s needs %s after it; the service is ignored", w.Text,
				map[string]string{"fwmark": "a number", "group": "the name of a virtual_server_group"}[w.Text])
			return false
		}
		if w.Text == "group" {
			d.group = vs[1].word.Text
			return true
		}
		n, ok := parseNumber(vs[1].word.Text, num(0, maxUint32))
		if !ok {
			b.diags.errorf(vs[1].word.Pos, vs[1].word.Text, "fwmark %q is not a whole number from 0 to %d; the service is ignored", vs[1].word.Text, int64(maxUint32))
			return false
		}
		d.fwmark, d.marked = uint32(n), true
		return true
	}
	addr, ok := b.endpoint("virtual_server", vs, "the service")
	d.addr, d.family = addr, familyOf(addr.Addr())
	return ok
}

// endpoint reads ADDR [PORT] of a service or a server; without port it is 0. loss names what is ignored if it is
// wrong.
func (b *binder) endpoint(keyword string, vs values, loss string) (netip.AddrPort, bool) {
	w := vs[0].word
	addr, ok := socketAddr(w.Text)
	if !ok {
		d := b.diags.errorf(w.Pos, w.Text, "%s %q is not an IPv4 or IPv6 address; %s is ignored", keyword, w.Text, loss)
		if ap, err := netip.ParseAddrPort(w.Text); err == nil {
			d.suggest(fmt.Sprintf("%s %d", ap.Addr(), ap.Port()))
		} else if a, ok := parseAddr(strings.Trim(w.Text, "[]")); ok {
			d.suggest(a.String())
		}
		return netip.AddrPort{}, false
	}
	if rest := w.Text[strings.IndexAny(w.Text+"-", "-/"):]; rest != "" && rest != fmt.Sprintf("/%d", addr.BitLen()) {
		b.diags.errorf(w.Pos, w.Text, "%s takes one address: %q is ignored", keyword, rest).silent()
	}
	if !vs[1].set || vs[1].word.Text != "" && strings.Trim(vs[1].word.Text, "0") == "" {
		return netip.AddrPortFrom(addr, 0), true
	}
	port, ok := parseNumber(vs[1].word.Text, num(1, 65535))
	if !ok {
		b.diags.errorf(vs[1].word.Pos, vs[1].word.Text, "port %q is not a whole number from 1 to 65535; %s is ignored", vs[1].word.Text, loss)
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(addr, uint16(port)), true
}

// balancing binds how packets are spread and sent.
func (b *binder) balancing(d *serviceDraft, k *keyword, s *Statement, vs values) bool {
	switch k.canonical() {
	case "lb_algo":
		d.scheduler = vs[0].word.Text
	case "ops":
		d.onePacket = s
	case "hashed", "flag-1", "flag-2", "flag-3", "sh-port", "sh-fallback", "mh-port", "mh-fallback":
		b.schedulerFlag(d, s)
	case "lvs_method":
		b.method(&d.delivery, s)
	case "protocol":
		d.protocol = protocols()[vs[0].word.Text]
	case "ip_family":
		f := ipv4
		if vs[0].word.Text == "inet6" {
			f = ipv6
		}
		if d.family != anyFamily && d.family != f {
			b.diags.errorf(s.Pos, vs[0].word.Text, "ip_family %s does not fit the addresses above, which are %s; it is ignored", vs[0].word.Text, d.family)
			return true
		}
		d.family = f
	default:
		return false
	}
	return true
}

// schedulerFlag binds a flag of the scheduler, which must stand after lb_algo.
func (b *binder) schedulerFlag(d *serviceDraft, s *Statement) {
	flags := map[string]SchedulerFlags{"flag-1": Flag1, "flag-2": Flag2, "flag-3": Flag3}
	if f := flags[s.Keyword]; f != 0 {
		d.flags |= f
		return
	}
	word, flag, _ := strings.Cut(s.Keyword, "-")
	switch hash := d.scheduler == "sh" || d.scheduler == "mh"; {
	case hash && word == d.scheduler && flag == "port":
		d.flags |= HashPort
	case hash && word == d.scheduler && flag == "fallback":
		d.flags |= HashFallback
	case hash && word != "hashed":
		b.diags.errorf(s.Pos, s.Keyword, "%s has no effect with lb_algo %s; it is ignored", s.Keyword, d.scheduler).silent()
	case !hash && word == "hashed":
		b.diags.warnf(s.Pos, s.Keyword, "hashed is historical and has no effect")
	case !hash:
		b.diags.errorf(s.Pos, s.Keyword, "%s must stand after lb_algo %s; it is ignored", s.Keyword, word)
	}
}

// persisting binds which connections of a client go to the same server.
func (b *binder) persisting(d *serviceDraft, k *keyword, vs values) bool {
	switch k.canonical() {
	case "persistence_timeout":
		d.persistence = defaultPersistence
		if vs[0].set {
			d.persistence = time.Duration(vs[0].number) * time.Second
		}
	case "persistence_engine":
		const most = 15 // IP_VS_PENAME_MAXLEN less the final NUL
		w := vs[0].word
		if d.engine = w.Text; len(d.engine) > most {
			d.engine = d.engine[:most]
			b.diags.warnf(w.Pos, w.Text, "persistence_engine %q has %d bytes and is cut to %d", w.Text, len(w.Text), most)
		}
	case "persistence_granularity":
		b.granularity(d, vs[0].word)
	default:
		return false
	}
	return true
}

// granularity reads a dotted IPv4 mask or the length of an IPv6 prefix.
func (b *binder) granularity(d *serviceDraft, w Word) {
	f := d.family
	if f == anyFamily {
		f = ipv6
		if strings.Contains(w.Text, ".") {
			f = ipv4
		}
	}
	if f == ipv6 {
		n, ok := parseNumber(w.Text, num(1, 128))
		if !ok {
			b.diags.errorf(w.Pos, w.Text, "persistence_granularity %q is not the length of an IPv6 prefix, 1 to 128; it is ignored", w.Text)
			return
		}
		var mask [16]byte
		for bit := range n {
			mask[bit/8] |= 0x80 >> (bit % 8)
		}
		d.granularity = netip.AddrFrom16(mask)
	} else {
		mask, ok := parseMask(w.Text)
		if !ok {
			b.diags.errorf(w.Pos, w.Text, "persistence_granularity %q is not an IPv4 mask such as 255.255.255.0; it is ignored", w.Text)
			return
		}
		d.granularity = mask
	}
	d.family = f
	if d.persistence == 0 {
		d.persistence = defaultPersistence
	}
}

// gathering binds the servers and what is made of their verdicts.
func (b *binder) gathering(d *serviceDraft, k *keyword, s *Statement, vs values) bool {
	switch k.canonical() {
	case "real_server":
		b.realServer(d, s, vs)
	case "weight":
		d.weight = int(vs[0].number)
	case "inhibit_on_failure":
		d.inhibit = true
	case "sorry_server":
		b.sorryServer(d, s, vs)
	case "sorry_server_inhibit":
		if d.sorry == nil {
			b.diags.errorf(s.Pos, s.Keyword, "%s must stand after sorry_server; it is ignored", s.Keyword)
			return true
		}
		d.sorry.inhibit = true
	case "sorry_server_lvs_method":
		if d.sorry == nil {
			b.diags.errorf(s.Pos, s.Keyword, "%s must stand after sorry_server; it is ignored", s.Keyword)
			return true
		}
		b.method(&d.sorry.delivery, s)
	case "quorum":
		n, ok := parseNumber(vs[0].word.Text, num(1, maxUint32))
		if !ok {
			b.diags.errorf(vs[0].word.Pos, vs[0].word.Text, "quorum %q is not a whole number from 1 to %d; 1 is used", vs[0].word.Text, int64(maxUint32))
			n = 1
		}
		d.quorum, d.quorumWord = uint32(n), s
	case "hysteresis":
		d.hysteresis, d.hystereWord = uint32(vs[0].number), s
	case "quorum_up":
		b.scriptOnce(&d.quorumUp, s)
	case "quorum_down":
		b.scriptOnce(&d.quorumDown, s)
	case "alpha":
		d.alpha.to(true)
	case "omega":
		d.omega = true
	case "ha_suspend":
		d.haSuspend = s
	case "smtp_alert":
		d.mail.to(vs[0].flag())
	default:
		return false
	}
	return true
}

// scriptOnce binds a command of which the first one counts.
func (b *binder) scriptOnce(c **Command, s *Statement) {
	if *c != nil {
		b.diags.errorf(s.Pos, s.Keyword, "%s is given already (%s); this one is ignored", s.Keyword, (*c).Pos.from(s.Pos))
		return
	}
	*c = b.command(s)
}

// sorryServer binds ADDR [PORT]; the last one counts.
func (b *binder) sorryServer(d *serviceDraft, s *Statement, vs values) {
	addr, ok := b.endpoint("sorry_server", vs, "it")
	if ok {
		d.sorry = &sorryDraft{statement: s, addr: addr, delivery: d.delivery}
	}
}

// endOfService checks what keepalived checks at the closing brace: families.
func (b *binder) endOfService(d *serviceDraft) {
	if r := d.sorry; r != nil && r.delivery.method != TUN {
		f := familyOf(r.addr.Addr())
		switch {
		case d.family == anyFamily:
			d.family = f
		case d.family != f:
			w := r.statement.Args[0]
			b.diags.errorf(w.Pos, w.Text, "sorry_server %s is of another address family than %s and is ignored: only TUN may mix them", r.addr.Addr(), d.title)
			d.sorry = nil
		}
	}
	if d.family != anyFamily || d.group != "" {
		return
	}
	// A mark whose servers are all tunnelled: their family if they have one, else IPv4.
	var all []family
	if d.sorry != nil {
		all = append(all, familyOf(d.sorry.addr.Addr()))
	}
	for _, r := range d.servers {
		all = append(all, familyOf(r.addr.Addr()))
	}
	d.family = ipv4
	for _, f := range all {
		if f != all[0] {
			return
		}
	}
	if len(all) > 0 {
		d.family = all[0]
	}
}

// protocols are the words for protocols.
func protocols() map[string]Protocol {
	return map[string]Protocol{"TCP": TCP, "UDP": UDP, "SCTP": SCTP}
}
