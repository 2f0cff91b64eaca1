package config

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Defaults of all checkers, keepalived 2.2.7.
const (
	defaultDelayLoop      = 60 * time.Second
	defaultConnectTimeout = 5 * time.Second
	defaultRetry          = 1
	defaultTCPRetryDelay  = time.Second
	defaultHTTPRetryDelay = 3 * time.Second
)

// A checkDraft is a TCP_CHECK or HTTP_GET being read.
type checkDraft struct {
	level
	keyword     string
	tls         bool
	pos         Pos
	connectAddr netip.Addr
	connectPort uint16
	bindAddr    netip.Addr
	bindPort    uint16
	bindIf      string
	version     string
	fast        bool
	urls        []URL
}

// checker binds one checker block.
func (b *binder) checker(k *keyword, s *Statement) *checkDraft {
	d := &checkDraft{keyword: k.name, tls: k.name == "SSL_GET", pos: s.Pos, version: "1.0"}
	b.each(k.block, s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		switch k.canonical() {
		case "connect_ip":
			d.connectAddr = vs[0].addr
		case "connect_port":
			d.connectPort = uint16(vs[0].number)
		case "bindto":
			d.bindAddr = vs[0].addr
		case "bind_port":
			d.bindPort = uint16(vs[0].number)
		case "bind_if":
			d.bindIf = vs[0].word.Text
		case "http_protocol":
			d.version = vs[0].word.Text
		case "fast_recovery":
			d.fast = !vs[0].set || vs[0].on
		case "url":
			if u, ok := b.url(s); ok {
				d.urls = append(d.urls, u)
			}
		default:
			if !d.bind(k.canonical(), vs) {
				panic(unbound(d.keyword, k))
			}
		}
	})
	if d.isHTTP() && len(d.urls) == 0 {
		b.diags.errorf(s.Pos, k.name, "%s has no url that can be used; the check is ignored", k.name)
	}
	return d
}

func (d *checkDraft) isHTTP() bool { return d.keyword == "HTTP_GET" || d.keyword == "SSL_GET" }

// resolve gives the checker of server r with all that it inherits; nil for a check that is ignored.
func (d *checkDraft) resolve(v *serviceDraft, s *serverDraft, addr netip.AddrPort) Checker {
	delayBeforeRetry := defaultTCPRetryDelay
	if d.isHTTP() {
		delayBeforeRetry = defaultHTTPRetryDelay
	}
	o := CheckOptions{
		Pos:              d.pos,
		Connect:          addr,
		BindAddr:         d.bindAddr,
		BindPort:         d.bindPort,
		BindInterface:    d.bindIf,
		ConnectTimeout:   first(defaultConnectTimeout, d.connectTimeout, s.connectTimeout, v.connectTimeout),
		DelayLoop:        first(defaultDelayLoop, d.delayLoop, s.delayLoop, v.delayLoop),
		Retry:            first(defaultRetry, d.retry, s.retry, v.retry),
		DelayBeforeRetry: first(delayBeforeRetry, d.delayBeforeRetry, s.delayBeforeRetry, v.delayBeforeRetry),
		Alpha:            first(false, d.alpha, s.alpha, v.alpha),
	}
	o.Warmup = first(o.DelayLoop, d.warmup, s.warmup, v.warmup)
	if d.connectAddr.IsValid() {
		o.Connect = netip.AddrPortFrom(d.connectAddr, o.Connect.Port())
	}
	if d.connectPort != 0 {
		o.Connect = netip.AddrPortFrom(o.Connect.Addr(), d.connectPort)
	}
	if d.keyword == "TCP_CHECK" {
		return TCPCheck{o}
	}
	if len(d.urls) == 0 {
		return nil
	}
	h := HTTPGet{CheckOptions: o, TLS: d.tls, Version: d.version, FastRecovery: d.fast, URLs: d.urls}
	for i := range h.URLs {
		if u := &h.URLs[i]; u.Host == "" {
			u.Host = first("", d.virtualHost, s.virtualHost, v.virtualHost)
		}
	}
	return h
}

// url binds one url block; false where it is to be ignored, which is reported.
func (b *binder) url(s *Statement) (u URL, ok bool) {
	u.Pos = s.Pos
	b.each("url", s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		switch k.canonical() {
		case "path":
			u.Path = vs[0].word.Text
			if !strings.HasPrefix(u.Path, "/") {
				b.diags.warnf(vs[0].word.Pos, u.Path, `path %q does not begin with "/": most servers refuse such a request`, u.Path)
			}
		case "virtualhost":
			u.Host = vs[0].word.Text
		case "digest":
			b.digest(&u, vs[0].word)
		case "status_code":
			b.statuses(&u, s.Args)
		default:
			panic(unbound("url", k))
		}
	})
	if u.Path == "" {
		b.diags.errorf(s.Pos, "url", "the url has no path and is ignored")
		return u, false
	}
	if len(u.Statuses) == 0 {
		u.Statuses = []StatusRange{{200, 299}}
	}
	return u, true
}

// digest reads 32 hexadecimal digits; the first digest wins, as in keepalived.
func (b *binder) digest(u *URL, w Word) {
	sum, err := hex.DecodeString(w.Text)
	switch {
	case err != nil || len(sum) != len(u.Digest):
		b.diags.errorf(w.Pos, w.Text, "digest %q is not the 32 hexadecimal digits of an MD5 sum; it is ignored", w.Text)
	case u.HasDigest:
		b.diags.errorf(w.Pos, w.Text, "digest %q is the second of this url and is ignored", w.Text)
	default:
		u.HasDigest = true
		copy(u.Digest[:], sum)
	}
}

// statuses reads numbers and ranges of 100 to 599.
func (b *binder) statuses(u *URL, ws []Word) {
	for _, w := range ws {
		lo, hi, ranged := strings.Cut(w.Text, "-")
		from, ok1 := statusCode(lo)
		to, ok2 := from, ok1
		if ranged {
			to, ok2 = statusCode(hi)
		}
		if !ok1 || !ok2 || to < from {
			b.diags.errorf(w.Pos, w.Text, "status_code %q is not a code from 100 to 599 or a range of them; it is ignored", w.Text)
			continue
		}
		u.Statuses = append(u.Statuses, StatusRange{from, to})
	}
}

func statusCode(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n >= 100 && n <= 599
}
