package config

import (
	"math"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// globalDefs binds one global_defs block; later words win.
func (b *binder) globalDefs(s *Statement) {
	g := &b.config.Global
	b.each("global_defs", s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		switch k.canonical() {
		case "router_id":
			b.config.RouterID = vs[0].word.Text
		case "lvs_timeouts":
			b.timeouts(s)
		case "lvs_sync_daemon":
			b.syncDaemon(s)
		case "lvs_flush":
			g.Flush = true
		case "lvs_flush_on_stop":
			g.FlushOnStop, g.FlushServices = true, vs[0].set
		case "startup_script":
			b.wholeScript(&g.Startup, s)
		case "shutdown_script":
			b.wholeScript(&g.Shutdown, s)
		case "startup_script_timeout":
			g.StartupTimeout = time.Duration(vs[0].number) * time.Second
		case "shutdown_script_timeout":
			g.ShutdownTimeout = time.Duration(vs[0].number) * time.Second
		case "checker_log_all_failures":
			g.LogAllFailures = *vs.flag()
		case "script_user", "enable_script_security": // read ahead: scriptGlobals
		case "reload_check_config": // a reload never takes a file with errors
		case "umask":
			b.umask(s)
		case "include_check": // heeded as it was read: reader.includeCheck
		default:
			if !b.mailWord(&g.Mail, k, s, vs) && !b.notifyGlobal(k, s, vs) && !b.vrrpWord(k, s, vs) {
				panic(unbound("global_defs", k))
			}
		}
	})
}

// standardGlobal is what holds without global_defs.
func standardGlobal() Global {
	const mailPort, mailTimeout, scriptTimeout = 25, 30 * time.Second, 10 * time.Second
	return Global{
		Mail:           Mail{Port: mailPort, Timeout: mailTimeout},
		StartupTimeout: scriptTimeout, ShutdownTimeout: scriptTimeout,
	}
}

// mailWord binds the words about mail.
func (b *binder) mailWord(m *Mail, k *keyword, s *Statement, vs values) bool {
	switch k.canonical() {
	case "notification_email":
		if len(s.Block.Statements) == 0 {
			b.diags.warnf(s.Pos, k.name, "notification_email names nobody")
		}
		for _, line := range s.Block.Statements {
			m.To = append(m.To, line.Keyword)
		}
	case "notification_email_from":
		var words []string
		for _, w := range s.Args {
			words = append(words, w.Text)
		}
		m.From = strings.Join(words, " ")
	case "smtp_server":
		w := vs[0].word
		if !hostOrAddress(w.Text) {
			b.diags.errorf(w.Pos, w.Text, "smtp_server %q is neither an address nor the name of a host; it is ignored", w.Text)
			return true
		}
		m.Server = w.Text
		if vs[1].set {
			m.Port = uint16(vs[1].number)
		}
	case "smtp_connect_timeout":
		m.Timeout = time.Duration(vs[0].number) * time.Second
	case "smtp_helo_name":
		m.Helo = vs[0].word.Text
	case "no_email_faults":
		m.NoFaults = true
	case "no_checker_emails":
		m.NoCheckers = *vs.flag()
	default:
		return false
	}
	return true
}

// hostOrAddress reports whether text can name a host. Whether there is one of that name is not known here.
func hostOrAddress(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	if strings.Trim(text, "0123456789.") == "" {
		_, ok := parseMask(text) // inet_aton's forms
		return ok
	}
	return strings.Trim(text, ".-") == text && strings.IndexFunc(text, func(r rune) bool {
		return r > 'z' || !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._", r)
	}) < 0
}

// timeouts binds lvs_timeouts [tcp N] [tcpfin N] [udp N].
func (b *binder) timeouts(s *Statement) {
	t := &b.config.Global.Timeouts
	to := map[string]*time.Duration{"tcp": &t.TCP, "tcpfin": &t.TCPFin, "udp": &t.UDP}
	for i := 0; i < len(s.Args); i++ {
		w := s.Args[i]
		d := to[w.Text]
		if d == nil {
			b.diags.errorf(w.Pos, w.Text, "lvs_timeouts %q is not one of tcp, tcpfin, udp; it is ignored", w.Text)
			continue
		}
		if i++; i == len(s.Args) {
			b.diags.errorf(w.Pos, w.Text, "lvs_timeouts %s needs a number of seconds after it; it is ignored", w.Text)
			break
		}
		const most = 31 * 24 * 60 * 60
		if n, ok := b.option(s, w, s.Args[i], 0, most); ok {
			*d = time.Duration(n) * time.Second
		}
	}
}

// option reads the number after a word of a statement.
func (b *binder) option(s *Statement, name, w Word, least, most int64) (int64, bool) {
	a := num(least, most)
	n, ok := parseNumber(w.Text, a)
	if !ok {
		b.diags.errorf(w.Pos, w.Text, "%s %s %q is not %s; it is ignored", s.Keyword, name.Text, w.Text, expected(a))
	}
	return n, ok
}

// syncDaemon binds lvs_sync_daemon IF [[inst] INSTANCE] [id N] [maxlen N] [port N] [ttl N] [group ADDR]. The first one
// of a file counts.
func (b *binder) syncDaemon(s *Statement) {
	if first := b.config.Global.Sync; first != nil {
		b.diags.errorf(s.Pos, s.Keyword, "lvs_sync_daemon stands on %s already; this one is ignored", first.Pos.from(s.Pos))
		return
	}
	d := &SyncDaemon{Pos: s.Pos, Interface: s.Args[0].Text}
	rest := s.Args[1:]
	options := map[string]bool{"inst": true, "id": true, "maxlen": true, "port": true, "ttl": true, "group": true}
	// Old forms: the instance, and then the id, stand without a word before them.
	if len(rest) > 0 && !options[rest[0].Text] {
		d.Instance, rest = rest[0].Text, rest[1:]
		if len(rest) > 0 && !options[rest[0].Text] {
			b.diags.warnf(rest[0].Pos, rest[0].Text, `the id of lvs_sync_daemon stands behind the word "id" today`)
			b.syncOption(d, s, Word{Pos: rest[0].Pos, Text: "id"}, rest[0])
			rest = rest[1:]
		}
	}
	for len(rest) > 0 {
		w := rest[0]
		rest = rest[1:]
		switch {
		case !options[w.Text]:
			b.diags.errorf(w.Pos, w.Text, "lvs_sync_daemon %q is not one of group, id, inst, maxlen, port, ttl; it is ignored", w.Text)
			continue
		case len(rest) == 0:
			f := b.diags.errorf(w.Pos, w.Text, "lvs_sync_daemon %s needs a value after it; it is ignored", w.Text)
			if w.Text == "inst" {
				f.fatal()
			}
			continue
		}
		b.syncOption(d, s, w, rest[0])
		rest = rest[1:]
	}
	b.config.Global.Sync = d
}

// syncOption binds one option of lvs_sync_daemon.
func (b *binder) syncOption(d *SyncDaemon, s *Statement, name, w Word) {
	const maxPayload = 65507 // of a UDP datagram
	switch name.Text {
	case "inst":
		if d.Instance != "" {
			b.diags.errorf(w.Pos, w.Text, "lvs_sync_daemon follows vrrp_instance %s already; %s is ignored", d.Instance, w.Text)
			return
		}
		d.Instance = w.Text
	case "id":
		if n, ok := b.option(s, name, w, 0, math.MaxUint8); ok {
			d.ID, d.HasID = uint8(n), true
		}
	case "maxlen":
		if n, ok := b.option(s, name, w, 1, maxPayload); ok {
			d.MaxLen = uint16(n)
		}
	case "port":
		if n, ok := b.option(s, name, w, 1, math.MaxUint16); ok {
			d.Port = uint16(n)
		}
	case "ttl":
		if n, ok := b.option(s, name, w, 1, math.MaxUint8); ok {
			d.TTL = uint8(n)
		}
	case "group":
		a, ok := parseAddr(w.Text)
		if !ok || !a.IsMulticast() {
			b.diags.errorf(w.Pos, w.Text, "lvs_sync_daemon group %q is not a multicast address; it is ignored", w.Text)
			return
		}
		d.Group = a
	}
}

// wholeScript binds startup_script and the like, of which the first counts.
func (b *binder) wholeScript(to **Command, s *Statement) {
	if *to != nil {
		b.diags.errorf(s.Pos, s.Keyword, "there is %s already; this one is ignored", s.Keyword)
		return
	}
	*to = b.command(s)
}

// umask checks umask NUMBER or BIT[|BIT…]. Only keepalived's own files would have it.
func (b *binder) umask(s *Statement) {
	text := ""
	for _, w := range s.Args {
		text += w.Text
	}
	if text != "" && text[0] >= '0' && text[0] <= '9' {
		const most = 0o777
		if n, err := strconv.ParseUint(cNumber(text), 0, 32); err != nil || n > most {
			b.diags.errorf(s.Args[0].Pos, text, "umask %q is not a number up to 0777; it is ignored", text)
		}
		return
	}
	for bit := range strings.SplitSeq(text, "|") {
		if !umaskBit().MatchString(bit) {
			b.diags.errorf(s.Args[0].Pos, bit, "umask %q is not one of IRUSR, IWUSR, IXUSR and the same for GRP and OTH; it is ignored", bit)
			return
		}
	}
}

func umaskBit() *regexp.Regexp { return regexp.MustCompile(`^I[RWX](USR|GRP|OTH)$`) }
