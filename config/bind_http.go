package config

import (
	"encoding/hex"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const defaultHTTPDelay = 3 * time.Second

// httpWords binds the own words of HTTP_GET and SSL_GET.
func (b *binder) httpWords(d *checkDraft, tls bool) ownWords {
	h := HTTPGet{TLS: tls, Version: "1.0"}
	d.check, d.delay = h, defaultHTTPDelay
	return func(k *keyword, s *Statement, vs values) bool {
		switch k.canonical() {
		case "http_protocol":
			h.Version = vs[0].word.Text
		case "fast_recovery":
			h.FastRecovery = vs[0].flag()
		case "enable_sni":
			h.SNI = vs[0].flag()
		case "sni_name":
			h.SNIName = vs[0].word.Text
		case "tls_compliant":
			d.tlsCompliant = vs[0].flag()
		case "url":
			if u, ok := b.url(s); ok {
				h.URLs = append(h.URLs, u)
			}
		default:
			return false
		}
		d.check = h
		return true
	}
}

// completeHTTP reports a check without anything to ask for. keepalived 2.2.7 crashes there.
func (b *binder) completeHTTP(d *checkDraft, h HTTPGet) bool {
	if len(h.URLs) == 0 {
		b.diags.errorf(d.statement.Pos, d.statement.Keyword, "%s has no url that can be used; the check is ignored", d.statement.Keyword)
		return false
	}
	for i := range h.URLs {
		h.URLs[i].TLSCompliant = h.URLs[i].TLSCompliant || d.tlsCompliant
	}
	return true
}

// A urlDraft is a url being read.
type urlDraft struct {
	URL
	pattern Word
	regex   Regex
	options []Word
	word    *Statement // one of the regex words, nil if there is none
}

// url binds one url block; false where it is to be ignored, which is reported.
func (b *binder) url(s *Statement) (URL, bool) {
	u := &urlDraft{URL: URL{Pos: s.Pos}}
	path := false
	b.each("url", s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		switch k.canonical() {
		case "path":
			path = true
			u.Path = vs[0].word.Text
			if !strings.HasPrefix(u.Path, "/") {
				b.diags.warnf(vs[0].word.Pos, u.Path, `path %q does not begin with "/": most servers refuse such a request`, u.Path).silent()
			}
		case "virtualhost":
			u.Host = vs[0].word.Text
		case "digest":
			b.digest(&u.URL, vs[0].word)
		case "status_code":
			b.statuses(&u.URL, s.Args)
		case "tls_compliant":
			u.TLSCompliant = vs[0].flag()
		default:
			b.regexWord(u, k, s)
		}
	})
	if !path {
		b.diags.errorf(s.Pos, "url", "the url has no path and is ignored")
		return u.URL, false
	}
	if len(u.Statuses) == 0 {
		u.Statuses = []StatusRange{{200, 299}}
	}
	b.finishRegex(u)
	return u.URL, true
}

// digest reads 32 hexadecimal digits; the first digest wins, as in keepalived.
func (b *binder) digest(u *URL, w Word) {
	sum, err := hex.DecodeString(w.Text)
	switch {
	case u.HasDigest:
		b.diags.errorf(w.Pos, w.Text, "digest %q is the second of this url and is ignored", w.Text)
	case err != nil || len(sum) != len(u.Digest):
		b.diags.errorf(w.Pos, w.Text, "digest %q is not the 32 hexadecimal digits of an MD5 sum; it is ignored", w.Text)
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

// regexWord binds one of the words about the regular expression. keepalived tells what is wrong with them and does not
// count it.
func (b *binder) regexWord(u *urlDraft, k *keyword, s *Statement) {
	u.word = s
	switch k.canonical() {
	case "regex":
		if len(s.Args) != 1 {
			b.diags.errorf(s.Pos, s.Keyword, "regex takes one expression: put one with blanks into quotes; it is ignored").silent()
			return
		}
		u.pattern = s.Args[0]
		u.regex.Pattern = s.Args[0].Text
	case "regex_no_match":
		u.regex.NoMatch = true
	case "regex_options":
		u.options = append(u.options, s.Args...)
	case "regex_min_offset":
		if n, ok := b.regexNumbers(s, 1); ok {
			u.regex.MinOffset = n[0]
		}
	case "regex_max_offset":
		if n, ok := b.regexNumbers(s, 1); ok {
			u.regex.MaxOffset = n[0] + 1
		}
	case "regex_stack":
		if n, ok := b.regexNumbers(s, 2); ok && n[0] > n[1] {
			b.diags.errorf(s.Pos, s.Keyword, "regex_stack begins with more than its most; it is ignored").silent()
		}
	default:
		panic(unbound("url", k))
	}
}

// regexNumbers reads count numbers after a word.
func (b *binder) regexNumbers(s *Statement, count int) (n []int, ok bool) {
	if len(s.Args) != count {
		b.diags.errorf(s.Pos, s.Keyword, "%s takes %d, not %d words; it is ignored", s.Keyword, count, len(s.Args)).silent()
		return nil, false
	}
	for _, w := range s.Args {
		v, ok := parseNumber(w.Text, num(0, maxInt32-1))
		if !ok {
			b.diags.errorf(w.Pos, w.Text, "%s %q is not a whole number from 0 to %d; it is ignored", s.Keyword, w.Text, maxInt32-1).silent()
			return nil, false
		}
		n = append(n, int(v))
	}
	return n, true
}

// regexFlags are the words of regex_options with a flag of RE2 for them; "" has no effect on what matches, or RE2 does
// it anyway. The other words of PCRE2 are not served.
var regexFlags = map[string]string{
	"caseless": "i", "dotall": "s", "multiline": "m", "ungreedy": "U",
	"auto_callout": "", "no_auto_capture": "", "no_auto_possess": "", "no_dotstar_anchor": "", "no_start_optimize": "",
	"utf": "", "never_backslash_c": "", "never_ucp": "", "dupnames": "", "use_offset_limit": "",
}

// regexUnserved are the words of regex_options that RE2 has nothing like.
var regexUnserved = []string{
	"allow_empty_class", "alt_bsux", "alt_circumflex", "alt_verbnames", "dollar_endonly", "extended", "firstline",
	"match_unset_backref", "never_utf", "ucp",
}

// finishRegex compiles the expression of a url. One that cannot be served is left out, which is reported: PCRE knows
// more than RE2.
func (b *binder) finishRegex(u *urlDraft) {
	if u.pattern.Text == "" {
		if u.word != nil {
			b.diags.errorf(u.word.Pos, u.word.Keyword, "%s has no effect: the url has no regex", u.word.Keyword).silent()
		}
		return
	}
	r := u.regex
	for _, w := range u.options {
		flag, known := regexFlags[w.Text]
		switch {
		case known && !strings.Contains(r.Options, flag):
			r.Options += flag
		case known:
		case slices.Contains(regexUnserved, w.Text):
			b.diags.errorf(w.Pos, w.Text, "regex_options %s is not served: the expressions here are RE2, not PCRE; the regex is ignored", w.Text).silent()
			return
		default:
			b.diags.errorf(w.Pos, w.Text, "%q is not an option of a regex; it is ignored", w.Text).silent().suggest(suggest(w.Text, regexOptions()))
		}
	}
	if _, err := regexp.Compile(r.Expr()); err != nil {
		b.diags.errorf(u.pattern.Pos, u.pattern.Text, "regex %q is not an expression of RE2 (%s); the regex is ignored", u.pattern.Text, regexFault(err)).silent()
		return
	}
	if r.MaxOffset != 0 && r.MinOffset >= r.MaxOffset {
		b.diags.errorf(u.word.Pos, u.word.Keyword, "regex_min_offset %d is above regex_max_offset %d; both are ignored", r.MinOffset, r.MaxOffset-1).silent()
		r.MinOffset, r.MaxOffset = 0, 0
	}
	u.Regex = &r
}

// regexOptions lists all words of regex_options.
func regexOptions() []string {
	out := append([]string(nil), regexUnserved...)
	for w := range regexFlags {
		out = append(out, w)
	}
	return out
}

// regexFault says what the compiler found, without repeating the whole expression.
func regexFault(err error) string {
	return strings.TrimPrefix(err.Error(), "error parsing regexp: ")
}
