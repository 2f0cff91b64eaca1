// Package sip finds what keeps the messages of one call together: the Call-ID (RFC 3261, Section
// 20.8). It decides nothing and does not allocate.
package sip

// MaxCallID is the longest Call-ID that counts, in bytes (IP_VS_PEDATA_MAXLEN in
// include/net/ip_vs.h).
const MaxCallID = 255

// CallID returns the Call-ID of a SIP message as a part of it, nil if there is none that is
// whole (ip_vs_sip_fill_param in net/netfilter/ipvs/ip_vs_pe_sip.c, ct_sip_get_header in
// net/netfilter/nf_conntrack_sip.c). Lines may end in CR, LF or both, as of RFC 2543; the
// first one is no header.
func CallID(message []byte) []byte {
	for i := 0; i < len(message); {
		if message[i] != '\r' && message[i] != '\n' {
			i++
			continue
		}
		if message[i] == '\r' && i+1 < len(message) && message[i+1] == '\n' {
			i++
		}
		i++
		at, ok := header(message, i)
		if !ok {
			continue
		}
		end := identifier(message, at)
		if end > at && end-at <= MaxCallID && end < len(message) && (message[end] == '\r' || message[end] == '\n') {
			return message[at:end]
		}
		i = at
	}
	return nil
}

// header returns where the value of the header Call-ID begins, or its compact form i, if such a
// line begins at an offset.
func header(b []byte, at int) (value int, ok bool) {
	for _, name := range []string{"call-id", "i"} {
		if len(b)-at <= len(name) || !hasName(b[at:], name) {
			continue
		}
		at = skipBlanks(b, at+len(name))
		if at == len(b) || b[at] != ':' {
			return 0, false
		}
		at = skipBlanks(b, at+1)
		return at, at < len(b)
	}
	return 0, false
}

// hasName reports whether a line begins with a name in small letters, in whatever case.
func hasName(line []byte, name string) bool {
	for i := range len(name) {
		c := line[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != name[i] {
			return false
		}
	}
	return true
}

func skipBlanks(b []byte, at int) int {
	for at < len(b) && (b[at] == ' ' || b[at] == '\t') {
		at++
	}
	return at
}

// identifier returns the end of word [ "@" word ], or at if there is none.
func identifier(b []byte, at int) (end int) {
	end = word(b, at)
	if end == at || end == len(b) || b[end] != '@' {
		return end
	}
	if host := word(b, end+1); host > end+1 {
		return host
	}
	return at
}

// word returns the end of the characters that RFC 3261, Section 25.1 calls a word.
func word(b []byte, at int) (end int) {
	for end = at; end < len(b); end++ {
		switch c := b[end]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c >= '(' && c <= '+', c >= '-' && c <= '/', c >= '[' && c <= ']':
		case c == '!', c == '"', c == '%', c == '\'', c == ':', c == '<', c == '>', c == '?', c == '_', c == '`', c == '{', c == '}', c == '~':
		default:
			return end
		}
	}
	return end
}
