package config

import (
	"strings"
	"time"
)

// ownWords binds a word that belongs to one kind of checker only, and reports whether it is one.
type ownWords func(k *keyword, s *Statement, vs values) bool

// ownWords makes d a checker of the kind of a keyword, and returns what binds its words.
func (b *binder) ownWords(r *serverDraft, d *checkDraft, kind string) ownWords {
	switch kind {
	case "HTTP_GET", "SSL_GET":
		return b.httpWords(d, kind == "SSL_GET")
	case "SMTP_CHECK":
		return b.smtpWords(r, d)
	case "DNS_CHECK":
		return b.dnsWords(d)
	case "UDP_CHECK":
		return b.udpWords(d)
	case "MISC_CHECK":
		return b.miscWords(d)
	case "BFD_CHECK":
		return b.bfdWords(r, d)
	case "FILE_CHECK":
		return b.fileWords(d)
	case "PING_CHECK":
		d.check = PingCheck{}
	default:
		d.check = TCPCheck{}
	}
	return func(*keyword, *Statement, values) bool { return false }
}

// complete fills in what a checker's own words leave out, and reports whether it can run.
func (b *binder) complete(d *checkDraft) bool {
	drop := func(what string) bool {
		b.diags.errorf(d.statement.Pos, d.statement.Keyword, "%s has no %s; the check is ignored", d.statement.Keyword, what)
		return false
	}
	switch c := d.check.(type) {
	case HTTPGet:
		return b.completeHTTP(d, c)
	case SMTPCheck:
		if c.HeloName == "" {
			c.HeloName = "smtpchecker.keepalived.org"
		}
		d.check = c
	case DNSCheck:
		if c.Name == "" {
			c.Name = "."
		}
		d.check = c
	case UDPCheck:
		if c.MinReply > c.MaxReply {
			b.diags.errorf(d.statement.Pos, d.statement.Keyword, "min_reply_length %d is above max_reply_length %d: the check will always fail", c.MinReply, c.MaxReply)
		}
	case MiscCheck:
		if len(c.Command.Args) == 0 {
			return drop("misc_path")
		}
		if c.Command.User == "" {
			return b.runnable(d.statement, "", "")
		}
	case BFDCheck:
		if c.Name == "" {
			return drop("name")
		}
	case FileCheck:
		if c.Name == "" {
			return drop("track_file that can be used")
		}
	}
	return true
}

// smtpWords binds the own words of SMTP_CHECK. Each host block is a check of its own; the words beside it make one more
// if there are any.
func (b *binder) smtpWords(r *serverDraft, d *checkDraft) ownWords {
	d.check = SMTPCheck{}
	return func(k *keyword, s *Statement, vs values) bool {
		switch k.canonical() {
		case "helo_name":
			d.check = SMTPCheck{HeloName: vs[0].word.Text}
		case "host":
			b.smtpHost(r, d, s)
		default:
			return false
		}
		return true
	}
}

// smtpHost binds one host block of SMTP_CHECK.
func (b *binder) smtpHost(r *serverDraft, d *checkDraft, s *Statement) {
	var h smtpHost
	b.each("host", s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		switch {
		case b.connecting(&h.conn, r.addr.Addr(), k, s, vs):
		case k.canonical() == "connect_timeout":
			h.timeout.to(vs[0].time)
		case k.canonical() == "log_all_failures":
			d.logAll = vs[0].flag()
		case !d.bind(k.canonical(), vs):
			panic(unbound("host", k))
		}
	})
	target := r.addr.Addr()
	if h.conn.addr.IsValid() {
		target = h.conn.addr
	}
	if b.reachable(s, target, h.conn.bindIf) {
		d.hosts = append(d.hosts, h)
	}
}

// A smtpHost is a host block of SMTP_CHECK.
type smtpHost struct {
	conn    connection
	timeout maybe[time.Duration]
}

// perHost gives a checker for each host block. The checker itself stays only if it has words about its connection.
func (d *checkDraft) perHost() []*checkDraft {
	if len(d.hosts) == 0 {
		return []*checkDraft{d}
	}
	var out []*checkDraft
	if d.conn != (connection{}) || d.connectTimeout.set {
		out = append(out, d)
	}
	for _, h := range d.hosts {
		c := *d
		c.conn, c.connectTimeout = h.conn, h.timeout
		out = append(out, &c)
	}
	return out
}

// dnsWords binds the own words of DNS_CHECK.
func (b *binder) dnsWords(d *checkDraft) ownWords {
	c := DNSCheck{Type: "SOA"}
	const retries = 3
	d.check, d.retries, d.delay = c, retries, 0
	return func(k *keyword, _ *Statement, vs values) bool {
		switch k.canonical() {
		case "type":
			c.Type = vs[0].word.Text
		case "name":
			switch w := vs[0].word; {
			case c.Name != "":
				b.diags.errorf(w.Pos, w.Text, "name is given already (%s); this one is ignored", c.Name)
			case strings.HasPrefix(w.Text, ".") && w.Text != "." || strings.Contains(w.Text, ".."):
				b.diags.errorf(w.Pos, w.Text, "name %q has an empty part between its dots; it is ignored", w.Text)
			default:
				c.Name = w.Text
			}
		default:
			return false
		}
		d.check = c
		return true
	}
}

// udpWords binds the own words of UDP_CHECK.
func (b *binder) udpWords(d *checkDraft) ownWords {
	const standard = 255
	c := UDPCheck{MaxReply: standard}
	d.check = c
	return func(k *keyword, s *Statement, vs values) bool {
		switch k.canonical() {
		case "payload":
			c.Payload, _ = b.hexBytes(s, false)
		case "require_reply":
			c.RequireReply = true
			if len(s.Args) > 0 {
				c.Reply, c.ReplyMask = b.hexBytes(s, true)
			}
		case "min_reply_length":
			c.MinReply = int(vs[0].number)
		case "max_reply_length":
			c.MaxReply = int(vs[0].number)
		default:
			return false
		}
		d.check = c
		return true
	}
}

// hexBytes reads pairs of hexadecimal digits with blanks between them, in quotes or not; a single digit before a blank is
// a byte, too. An x stands for any digit where wild is set.
func (b *binder) hexBytes(s *Statement, wild bool) (data, mask []byte) {
	for _, w := range s.Args {
		for text := strings.TrimLeft(w.Text, blanks); text != ""; text = strings.TrimLeft(text, blanks) {
			n := min(len(text), 2)
			if n == 2 && isBlank(text[1]) {
				n = 1
			}
			value, bits := byte(0), byte(0)
			for i := range n {
				digit := strings.IndexByte("0123456789abcdef", lower(text[i]))
				value, bits = value<<4, bits<<4
				switch {
				case digit >= 0:
					value, bits = value|byte(digit), bits|0x0f
				case wild && lower(text[i]) == 'x':
				default:
					b.diags.errorf(w.Pos, w.Text, "%s %q is not made of hexadecimal digits; it is ignored", s.Keyword, w.Text)
					return nil, nil
				}
			}
			if n == 1 {
				bits |= 0xf0
			}
			data, mask = append(data, value), append(mask, bits)
			text = text[n:]
		}
	}
	if len(data) == 0 {
		b.diags.errorf(s.Pos, s.Keyword, "%s needs hexadecimal digits after it; it is ignored", s.Keyword)
	}
	return data, mask
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// miscWords binds the own words of MISC_CHECK.
func (b *binder) miscWords(d *checkDraft) ownWords {
	c := MiscCheck{}
	var user, group string
	d.check, d.retries = c, 0
	others := len(b.scripts)
	return func(k *keyword, s *Statement, vs values) bool {
		if d.dropped {
			return true
		}
		switch k.canonical() {
		case "misc_path":
			if command := b.onlyCommand(s); command != nil {
				c.Command = *command
			}
		case "misc_timeout":
			c.Timeout = time.Duration(vs[0].number) * time.Second
		case "misc_dynamic":
			c.Dynamic = true
		case "user":
			if !b.account(s, "the check is ignored") {
				d.dropped = true
				b.scripts = b.scripts[:others] // what is not run is not judged
				return true
			}
			user = s.Args[0].Text
			if len(s.Args) > 1 {
				group = s.Args[1].Text
			}
		default:
			return false
		}
		c.Command.User, c.Command.Group = b.runBy(user, group)
		d.check = c
		return true
	}
}

// bfdWords binds the own words of BFD_CHECK.
func (b *binder) bfdWords(r *serverDraft, d *checkDraft) ownWords {
	d.check = BFDCheck{}
	return func(k *keyword, s *Statement, vs values) bool {
		if k.canonical() != "name" {
			return false
		}
		drop := func(w Word, format string, args ...any) {
			b.diags.errorf(w.Pos, w.Text, format+"; the check is ignored", args...)
			d.dropped = true
		}
		w := vs[0].word
		c := d.check.(BFDCheck)
		switch {
		case d.dropped:
		case len(s.Args) > 1:
			drop(s.Args[1], "BFD_CHECK takes one name")
		case !b.trackedBFDs.has(w.Text):
			drop(w, "there is no bfd_instance %s above", w.Text)
		case c.Name != "":
			drop(w, "name is given already (%s)", c.Name)
		case r.tracksBFD(w.Text):
			drop(w, "%s has a BFD_CHECK of %s already", r.title, w.Text)
		default:
			d.check = BFDCheck{Name: w.Text}
		}
		return true
	}
}

// tracksBFD reports whether the server has a check of a BFD already.
func (r *serverDraft) tracksBFD(name string) bool {
	for _, d := range r.checkers {
		if c, ok := d.check.(BFDCheck); ok && c.Name == name {
			return true
		}
	}
	return false
}

// fileWords binds the own words of FILE_CHECK.
func (b *binder) fileWords(d *checkDraft) ownWords {
	c := FileCheck{}
	d.check = c
	return func(k *keyword, s *Statement, vs values) bool {
		switch k.canonical() {
		case "track_file":
			w := vs[0].word
			if !b.trackedFiles.has(w.Text) {
				b.diags.errorf(w.Pos, w.Text, "there is no track_file %s above; it is ignored", w.Text)
				return true
			}
			c.Name = w.Text
		case "weight":
			c.Weight, c.Reverse = int(vs[0].number), vs[1].set && vs[1].word.Text == "reverse"
			d.weighted = true
		default:
			return false
		}
		d.check = c
		return true
	}
}
