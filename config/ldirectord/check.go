package ldirectord

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A check is a checker of keepalived: its word, and the lines in its block.
type check struct {
	word  string
	lines []string
}

func (k *check) add(format string, args ...any) {
	k.lines = append(k.lines, fmt.Sprintf(format, args...))
}

func (k *check) write(w *writer) {
	w.open("%s", k.word)
	for _, line := range k.lines {
		if line == "}" {
			w.depth--
		}
		w.line("%s", line)
		if strings.HasSuffix(line, " {") {
			w.depth++
		}
	}
	w.close()
}

// standardServices are the services that ports stand for where none is given.
func standardServices() map[uint16]string {
	return map[uint16]string{
		21: "ftp", 25: "smtp", 53: "dns", 80: "http", 110: "pop", 119: "nntp", 143: "imap", 389: "ldap", 443: "https",
		587: "submission", 636: "ldaps", 993: "imaps", 995: "pops", 1521: "oracle", 1812: "radius", 3128: "http_proxy",
		3306: "mysql", 5432: "pgsql", 5060: "sip",
	}
}

// An examination is what checks of one server are made from.
type examination struct {
	*converter
	s       *service
	r       *real
	port    uint16
	connect netip.AddrPort // where to, if it is not the server's own
}

// checks returns the checkers of a server on a port; off says that it is never to be used.
func (c *converter) checks(s *service, r *real, port uint16) (list []check, off bool) {
	e := &examination{converter: c, s: s, r: r, port: port}
	if d, ok := s.get("checkport"); ok {
		n, err := strconv.ParseUint(d.value, 10, 16)
		if err != nil || n == 0 {
			c.found.errorf(d.at, "checkport %q is not a whole number from 1 to 65535", d.value)
		} else {
			e.connect = netip.AddrPortFrom(r.addr, uint16(n))
		}
	}
	kind, at := "negotiate", s.v.head.pos
	if d, ok := s.get("checktype"); ok {
		kind, at = d.value, d.at
	}
	switch kind {
	case "on":
	case "off":
		c.found.warnf(at, "checktype=off: as the servers are never used they get weight 0, which leaves the service to its fallback")
		return nil, true
	case "ping":
		return []check{e.finish(check{word: "PING_CHECK"}, "checktimeout")}, false
	case "connect":
		return []check{e.accepts()}, false
	case "external", "external-perl":
		return []check{e.external()}, false
	case "negotiate":
		return e.negotiate(), false
	default:
		n, err := strconv.Atoi(kind)
		if err != nil || n < 1 {
			c.found.errorf(at, `checktype %q is not connect, negotiate, external, external-perl, ping, on, off or a number above 0`, kind)
			return nil, false
		}
		// N − 1 times of N only the connection is tried.
		list = []check{e.accepts()}
		for _, k := range e.negotiate() {
			k.add("delay_loop %d", n*c.number(s, "checkinterval", 10))
			list = append(list, k)
		}
	}
	return list, false
}

// finish adds what all checkers have.
func (e *examination) finish(k check, timeout string) check {
	other := map[string]string{"checktimeout": "negotiatetimeout", "negotiatetimeout": "checktimeout"}[timeout]
	usual := map[string]int{"checktimeout": 5, "negotiatetimeout": 30}[timeout]
	seconds := e.number(e.s, timeout, e.number(e.s, other, usual))
	if k.word == "MISC_CHECK" {
		k.add("misc_timeout %d", seconds)
	} else {
		if e.connect.IsValid() {
			if e.connect.Addr() != e.r.addr {
				k.add("connect_ip %s", e.connect.Addr())
			}
			if k.word != "PING_CHECK" {
				k.add("connect_port %d", e.connect.Port())
			}
		}
		k.add("connect_timeout %d", seconds)
	}
	if failures := e.number(e.s, "failurecount", 1); failures > 1 {
		k.add("retry %d", failures-1)
		k.add("delay_before_retry %d", e.number(e.s, "checkinterval", 10))
	} else if k.word != "MISC_CHECK" {
		// keepalived's least is 1.
		k.add("retry 1")
		k.add("delay_before_retry 1")
	}
	return k
}

// accepts tries the connection; of UDP it is a ping.
func (e *examination) accepts() check {
	if e.s.protocol == "UDP" {
		return e.finish(check{word: "PING_CHECK"}, "checktimeout")
	}
	return e.finish(check{word: "TCP_CHECK"}, "checktimeout")
}

// external runs the operator's own program, with ldirectord's arguments.
func (e *examination) external() check {
	virtual := cmp.Or(e.s.mark, addrText(e.s.addr))
	var k check
	k.word = "MISC_CHECK"
	k.add("misc_path %s", command(cmp.Or(e.s.text("checkcommand"), "/bin/true"),
		virtual, strconv.Itoa(int(e.s.port)), e.r.addr.String(), strconv.Itoa(int(e.port))))
	return e.finish(k, "checktimeout")
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// request is what is asked for and what the answer has to match, with the directives for messages.
func (e *examination) request() (request, receive string) {
	if e.r.own {
		return e.r.request, e.r.receive
	}
	return e.s.text("request"), e.s.text("receive")
}

// negotiate asks the server what its service answers.
func (e *examination) negotiate() []check {
	name := cmp.Or(e.s.text("service"), standardServices()[e.s.port], "none")
	if e.s.mark != "" {
		name = cmp.Or(e.s.text("service"), "none")
	}
	at := e.s.v.head.pos
	if d, ok := e.s.get("service"); ok {
		at = d.at
	}
	request, receive := e.request()
	switch name {
	case "none":
		return nil
	case "http", "https", "http_proxy":
		return []check{e.web(name, request, receive)}
	case "smtp", "submission":
		if receive != "" {
			e.found.warnf(at, "receive of service %s has no equivalent: SMTP_CHECK expects 220 and 250", name)
		}
		return []check{e.finish(check{word: "SMTP_CHECK"}, "negotiatetimeout")}
	case "dns":
		return []check{e.dns(request, receive)}
	case "ftp", "imap", "imaps", "pop", "pops", "ldap", "ldaps", "mysql", "pgsql":
		return []check{e.program(name, request, receive)}
	case "nntp", "oracle", "radius", "simpletcp", "sip":
		e.found.warnf(at, "service %s has no equivalent: only %s is tried; write a program for MISC_CHECK to ask more", name, map[bool]string{true: "a ping", false: "the connection"}[e.s.protocol == "UDP"])
		return []check{e.accepts()}
	}
	e.found.errorf(at, "service %q is not one of dns, ftp, http, https, http_proxy, imap, imaps, ldap, ldaps, mysql, nntp, none, "+
		"oracle, pgsql, pop, pops, radius, simpletcp, sip, smtp, submission", name)
	return nil
}

// web asks for a page.
func (e *examination) web(name, request, receive string) check {
	k := check{word: "HTTP_GET"}
	if name == "https" {
		k.word = "SSL_GET"
	}
	host := e.s.text("virtualhost")
	path := request
	if name != "http_proxy" {
		if u, err := url.Parse(request); err == nil && u.Host != "" {
			e.elsewhere(u)
			host, path = cmp.Or(host, u.Host), u.RequestURI()
		}
		path = "/" + strings.TrimPrefix(path, "/")
	}
	if d, ok := e.s.get("httpmethod"); ok && strings.ToUpper(d.value) != "GET" {
		e.found.warnf(d.pos, "httpmethod=%s has no equivalent: pages are fetched with GET", d.value)
	}
	k.add("url {")
	k.add("path %s", e.word(path))
	if host != "" {
		k.add("virtualhost %s", e.word(host))
	}
	if receive != "" {
		e.checkPattern(receive)
		k.add("regex %s", quote(receive))
	}
	k.add("}")
	if name == "https" && host != "" {
		k.add("enable_sni")
	}
	return e.finish(k, "negotiatetimeout")
}

// elsewhere has the check go to another address, which stands in the request.
func (e *examination) elsewhere(u *url.URL) {
	addr, ok := e.host(e.r.d, u.Hostname(), e.r.addr.Is6())
	if !ok {
		return
	}
	port := uint16(80)
	if u.Scheme == "https" {
		port = 443
	}
	if u.Port() != "" && !e.converter.port(e.r.d, "tcp", u.Port(), &port) {
		return
	}
	e.connect = netip.AddrPortFrom(addr, port)
}

// checkPattern warns about a regular expression that RE2 does not have.
func (e *examination) checkPattern(pattern string) {
	if _, err := regexp.Compile(pattern); err != nil {
		d, _ := e.s.get("receive")
		if e.r.own {
			d = e.r.d
		}
		e.found.warnf(d.at, "receive %q is no regular expression of RE2, and has to be written another way", pattern)
	}
}

// dns asks for a name, or for an address's name.
func (e *examination) dns(request, receive string) check {
	k := check{word: "DNS_CHECK"}
	if a, err := netip.ParseAddr(request); err == nil {
		k.add("type PTR")
		request = reverse(a)
	} else if request != "" {
		k.add("type A")
	}
	if request != "" {
		k.add("name %s", e.word(request))
	}
	if receive != "" {
		d, _ := e.s.get("receive")
		if e.r.own {
			d = e.r.d
		}
		e.found.warnf(d.pos, "receive of service dns has no equivalent: any answer without an error counts")
	}
	return e.finish(k, "negotiatetimeout")
}

// reverse returns the name under which an address's names are found (RFC 1035, Section 3.5; RFC 3596, Section 2.5).
func reverse(a netip.Addr) string {
	var labels []string
	if a.Is4() {
		for _, b := range a.As4() {
			labels = append(labels, strconv.Itoa(int(b)))
		}
		slices.Reverse(labels)
		return strings.Join(labels, ".") + ".in-addr.arpa"
	}
	for _, b := range a.As16() {
		labels = append(labels, strconv.FormatInt(int64(b>>4), 16), strconv.FormatInt(int64(b&15), 16))
	}
	slices.Reverse(labels)
	return strings.Join(labels, ".") + ".ip6.arpa"
}

// program asks by a client of the service, which has to be on the director.
func (e *examination) program(name, request, receive string) check {
	port := e.port
	if e.connect.IsValid() {
		port = e.connect.Port()
	}
	login, password, database := e.s.text("login"), e.s.text("passwd"), e.s.text("database")
	addr, number := e.r.addr.String(), strconv.Itoa(int(port))
	var argv []string
	client := "curl"
	switch name {
	case "mysql":
		client = "mysql"
		argv = []string{"/usr/bin/mysql", "--host=" + addr, "--port=" + number, "--user=" + login, "--password=" + password, "--execute=" + request, database}
	case "pgsql":
		client = "psql"
		argv = []string{"/usr/bin/psql", "--no-psqlrc", "--quiet", "--command=" + request, fmt.Sprintf("postgresql://%s@%s/%s",
			url.UserPassword(login, password), netip.AddrPortFrom(e.r.addr, port), url.PathEscape(database))}
	default:
		scheme := map[string]string{"pop": "pop3", "pops": "pop3s"}[name]
		u := url.URL{Scheme: cmp.Or(scheme, name), Host: netip.AddrPortFrom(e.r.addr, port).String(), Path: "/" + strings.TrimPrefix(request, "/")}
		argv = []string{"/usr/bin/curl", "--silent", "--show-error", "--fail", "--insecure", "--output", "/dev/null"}
		if login != "" {
			argv = append(argv, "--user", login+":"+password)
		}
		argv = append(argv, u.String())
	}
	at := e.s.v.head.pos
	if d, ok := e.s.get("service"); ok {
		at = d.pos
	}
	e.found.warnf(at, "service %s becomes a MISC_CHECK that runs %s: it has to be on the director, and shows its arguments to all users there", name, client)
	if receive != "" && name != "mysql" && name != "pgsql" {
		d, _ := e.s.get("receive")
		if e.r.own {
			d = e.r.d
		}
		e.found.warnf(d.pos, "receive of service %s has no equivalent: that the request succeeds is enough", name)
	}
	k := check{word: "MISC_CHECK"}
	k.add("misc_path %s", command(argv[0], argv[1:]...))
	return e.finish(k, "negotiatetimeout")
}

// word writes a value that keepalived takes as one word.
func (e *examination) word(s string) string {
	if strings.ContainsAny(s, `"`) {
		e.found.errorf(e.r.d.pos, "%q holds a double quote, which keepalived.conf cannot hold here", s)
		return `""`
	}
	if strings.ContainsAny(s, " \t#!{}") || s == "" {
		return `"` + s + `"`
	}
	return s
}

// quote writes a value for a keyword whose words are quoted as in a shell.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || strings.IndexByte("#!$", c) >= 0: // a comment's beginning, a definition's
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// command writes a program, which may have arguments already, with further arguments: keepalived splits it twice.
func command(program string, args ...string) string {
	words := []string{program}
	for _, a := range args {
		if a == "" || strings.ContainsAny(a, " \t'\"\\#!$&;|<>()*?`") {
			a = "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "#", `\x23`, "!", `\x21`, "$", `\x24`).Replace(a) + "'"
		}
		words = append(words, a)
	}
	return quote(strings.Join(words, " "))
}
