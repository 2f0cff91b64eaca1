package ldirectord

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"uvs/config"
)

// Convert returns the keepalived.conf that does what an ldirectord.cf does, as ldirectord 4.12 reads it; name is the
// file's, for positions. Each directive that has no equivalent is a Warning at its place. With an Error among the
// findings the text leaves out what that is about. Convert keeps nothing.
func Convert(name, text string, resolve Resolver) (conf string, found config.Diagnostics) {
	c := converter{resolve: resolve, comments: make(map[int][]string)}
	doc := parse(name, text, &c.found)
	c.out.line("# From %s.", name)
	c.globals(&doc.global)
	for _, v := range doc.virtuals {
		c.virtual(&doc.global, v)
	}
	return c.out.String(), c.found.sorted()
}

// A converter writes one file.
type converter struct {
	resolve  Resolver
	found    findings
	out      writer
	comments map[int][]string // what a line's names stood for
}

// A writer writes keepalived.conf with indentation.
type writer struct {
	strings.Builder
	depth int
}

func (w *writer) line(format string, args ...any) {
	fmt.Fprintf(w, "%s%s\n", strings.Repeat("    ", w.depth), fmt.Sprintf(format, args...))
}

func (w *writer) open(format string, args ...any) {
	w.line(format+" {", args...)
	w.depth++
}

func (w *writer) close() {
	w.depth--
	w.line("}")
}

// A service is a virtual with what the margin says filled in.
type service struct {
	v        *virtual
	global   *section
	addr     netip.Addr
	port     uint16
	mark     string // of a service by firewall mark
	protocol string // keepalived's word; "" for a mark
}

// protocolName returns the protocol as services(5) has it.
func (s *service) protocolName() string { return cmp.Or(strings.ToLower(s.protocol), "tcp") }

// get returns a directive of the virtual, else of the margin.
func (s *service) get(name string) (directive, bool) {
	if d, ok := s.v.settings[name]; ok {
		return d, true
	}
	d, ok := s.global.settings[name]
	return d, ok
}

// text returns a directive's value, "" if there is none.
func (s *service) text(name string) string {
	d, _ := s.get(name)
	return d.value
}

// number returns a directive's value, or def if there is none or it is none, which is reported.
func (c *converter) number(s *service, name string, def int) int {
	d, ok := s.get(name)
	if !ok {
		return def
	}
	n, err := strconv.Atoi(d.value)
	if err != nil || n < 0 || n == 0 && name != "emailalertfreq" {
		c.found.errorf(d.at, "%s %q is not a whole number above 0", name, d.value)
		return def
	}
	return n
}

// yes returns a directive's value, or def if there is none or it is neither yes nor no, which is reported.
func (c *converter) yes(s *service, name string, def bool) bool {
	d, ok := s.get(name)
	switch {
	case !ok:
		return def
	case d.value != "yes" && d.value != "no":
		c.found.errorf(d.at, `%s %q is not "yes" or "no"`, name, d.value)
		return def
	}
	return d.value == "yes"
}

// without says of directives that keepalived.conf has nothing for, why, and what does it instead.
func without() map[string]string {
	return map[string]string{
		"autoreload":       "a file is read again by a SIGHUP, never by itself",
		"callback":         "no program runs when the file changes; let who copies the file do it",
		"execute":          "give each configuration a director with a run directory of its own",
		"fork":             "checks never wait for each other",
		"logfile":          "logs go to standard error and the journal",
		"maintenancedir":   "take a server out with `ipvsadm -e … -w 0`, or let a FILE_CHECK follow a file with a number",
		"readdquiescent":   "what an operator removes stays away until the file changes",
		"supervised":       "it always runs in the foreground",
		"comment":          "mails have no place for it",
		"servicename":      "mails name the service by its address",
		"monitorfile":      "the log has each change of a server",
		"load":             "weights do not follow a server's answer; let a MISC_CHECK with misc_dynamic do it",
		"checkcount":       "a ping is one ping; failurecount says how often it may fail",
		"emailalertfreq":   "a mail is sent at each change and not again",
		"emailalertstatus": "mails tell of changes in any state of the program",
	}
}

// globals writes global_defs, and warns about what has no equivalent.
func (c *converter) globals(g *section) {
	lost := without()
	for name, d := range g.settings {
		if why, ok := lost[name]; ok {
			c.found.warnf(d.pos, "%s has no equivalent: %s", name, why)
		}
	}
	if d, ok := g.settings["cleanstop"]; ok && d.value == "no" {
		c.found.warnf(d.pos, "cleanstop=no has no equivalent: a director that stops takes away what it added")
	}
	to, from, server := g.settings["emailalert"], g.settings["emailalertfrom"], g.settings["smtp"]
	if to.value == "" && from.value == "" && server.value == "" {
		return
	}
	c.out.line("")
	c.out.open("global_defs")
	if to.value != "" {
		c.out.open("notification_email")
		for _, a := range strings.Split(to.value, ",") {
			c.out.line("%s", strings.TrimSpace(a))
		}
		c.out.close()
	}
	if from.value != "" {
		c.out.line("notification_email_from %s", address(from.value))
	}
	if server.value != "" {
		c.out.line("smtp_server %s", server.value)
	}
	c.out.close()
}

// address takes the address out of what stands in a mail's From.
func address(from string) string {
	if _, rest, ok := strings.Cut(from, "<"); ok {
		from, _, _ = strings.Cut(rest, ">")
	}
	return strings.TrimSpace(from)
}

// head reads what stands after virtual=.
func (c *converter) head(s *service) bool {
	d := s.v.head
	if regexp.MustCompile(`^\d+$`).MatchString(d.value) {
		if n, err := strconv.ParseUint(d.value, 10, 32); err != nil || n == 0 {
			c.found.errorf(d.at, "firewall mark %q is not a whole number from 1 to 4294967295", d.value)
			return false
		}
		s.mark = d.value
		return c.hasProtocol(s, "fwm", "fwm")
	}
	m := regexp.MustCompile(`^` + endpointPattern + `$`).FindStringSubmatch(d.value)
	if m == nil || m[2] != "" || m[3] == "" {
		c.found.errorf(d.at, "%s %q is not ADDRESS:PORT or a firewall mark", d.name, d.value)
		return false
	}
	usual := "tcp"
	if m[3] == "53" || m[3] == "domain" {
		usual = "udp"
	}
	if !c.hasProtocol(s, usual, "tcp", "udp") {
		return false
	}
	var ok bool
	if s.addr, ok = c.host(d, m[1], s.v.v6); !ok {
		return false
	}
	return c.port(d, s.protocolName(), m[3], &s.port)
}

// hasProtocol sets the protocol, which has to be one of some.
func (c *converter) hasProtocol(s *service, usual string, some ...string) bool {
	word := cmp.Or(s.text("protocol"), usual)
	if !slices.Contains(some, word) {
		d, _ := s.get("protocol")
		c.found.errorf(d.at, "protocol %q does not go with %s %s: it is %s", word, s.v.head.name, s.v.head.value, strings.Join(some, " or "))
		return false
	}
	if word != "fwm" {
		s.protocol = strings.ToUpper(word)
	}
	return true
}

// virtual writes a virtual_server block.
func (c *converter) virtual(g *section, v *virtual) {
	s := &service{v: v, global: g}
	if !c.head(s) {
		return
	}
	reals := c.realServers(v, s)
	if len(reals) == 0 {
		c.found.errorf(v.head.pos, "%s %s has no real server", v.head.name, v.head.value)
		return
	}
	lost := without()
	for name, d := range v.settings {
		if why, ok := lost[name]; ok {
			c.found.warnf(d.pos, "%s has no equivalent: %s", name, why)
		}
	}
	for _, name := range []string{"emailalert", "emailalertfrom", "smtp"} {
		if d, ok := v.settings[name]; ok && g.settings[name].value != d.value {
			c.found.warnf(d.pos, "%s of one service has no equivalent: all mails go the way that global_defs says", name)
		}
	}
	w := &c.out
	w.line("")
	for _, line := range append([]int{v.head.pos.Line}, linesOf(v.reals)...) {
		for _, text := range c.comments[line] {
			w.line("# %s", text)
		}
	}
	if s.mark != "" {
		w.open("virtual_server fwmark %s", s.mark)
		if v.v6 {
			w.line("ip_family inet6")
		}
	} else {
		w.open("virtual_server %s %d", s.addr, s.port)
		w.line("protocol %s", s.protocol)
	}
	c.balancing(s, reals[0].method)
	c.fallback(s)
	for _, r := range reals {
		c.real(s, &r, reals[0].method)
	}
	w.close()
}

func linesOf(list []directive) (lines []int) {
	for _, d := range list {
		lines = append(lines, d.pos.Line)
	}
	return lines
}

// balancing writes what is said of the service as a whole.
func (c *converter) balancing(s *service, method string) {
	w := &c.out
	w.line("delay_loop %d", c.number(s, "checkinterval", 10))
	w.line("lvs_sched %s", cmp.Or(s.text("scheduler"), "wrr"))
	w.line("lvs_method %s", method)
	for _, flag := range strings.FieldsFunc(s.text("sched-flags"), func(r rune) bool { return r == ',' || r == ' ' }) {
		w.line("%s", flag)
	}
	if _, ok := s.get("persistent"); ok {
		w.line("persistence_timeout %d", c.number(s, "persistent", 300))
	}
	if mask := s.text("netmask"); mask != "" {
		w.line("persistence_granularity %s", mask)
	}
	if c.yes(s, "ops", false) {
		w.line("ops")
	}
	if s.text("emailalert") != "" {
		w.line("smtp_alert")
	}
	if d, ok := s.get("fallbackcommand"); ok {
		end := s.mark
		if s.mark == "" {
			end = netip.AddrPortFrom(s.addr, s.port).String()
		}
		protocol := cmp.Or(strings.ToLower(s.protocol), "fwm")
		w.line("quorum_down %s", command(d.value, "start", end, protocol))
		w.line("quorum_up %s", command(d.value, "stop", end, protocol))
	}
}

// fallback writes the sorry server.
func (c *converter) fallback(s *service) {
	name := "fallback"
	if s.v.v6 {
		name = "fallback6"
	}
	d, ok := s.get(name)
	if !ok {
		return
	}
	m := regexp.MustCompile(`^` + endpointPattern + `(?:\s+(\w+))?$`).FindStringSubmatch(d.value)
	if m == nil || m[2] != "" || m[4] != "" && methods()[m[4]] == "" {
		c.found.errorf(d.at, "%s %q is not ADDRESS[:PORT] [gate|masq|ipip]", name, d.value)
		return
	}
	addr, ok := c.host(d, m[1], s.v.v6)
	port := s.port
	if !ok || m[3] != "" && !c.port(d, s.protocolName(), m[3], &port) {
		return
	}
	c.out.line("sorry_server %s %d", addr, port)
	if m[4] != "" {
		c.out.line("sorry_server_lvs_method %s", methods()[m[4]])
	}
}

// real writes a real_server block. As in ldirectord, only NAT maps ports.
func (c *converter) real(s *service, r *real, usual string) {
	w := &c.out
	port := r.port
	if s.mark == "" && (port == 0 || r.method != "NAT") {
		if port != 0 && port != s.port {
			c.found.warnf(r.d.at, "%s reaches its servers on the virtual's port %d, not on %d: only masq maps ports", r.method, s.port, port)
		}
		port = s.port
	}
	checks, off := c.checks(s, r, port)
	w.open("real_server %s %d", r.addr, port)
	if off {
		// As ldirectord does, whose manual has the fallback out as well: it adds that at its start and never looks again.
		w.line("weight 0 # checktype=off")
	} else {
		w.line("weight %d", r.weight)
	}
	if r.method != usual {
		w.line("lvs_method %s", r.method)
	}
	if r.upper != "" {
		w.line("uthreshold %s", r.upper)
	}
	if r.lower != "" {
		w.line("lthreshold %s", r.lower)
	}
	if c.yes(s, "quiescent", true) {
		w.line("inhibit_on_failure")
	}
	for _, k := range checks {
		k.write(w)
	}
	w.close()
}
