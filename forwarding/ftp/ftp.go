// Package ftp reads FTP's control connection (RFC 959, and RFC 2428 for its extensions): which
// of the lines that pass tell of a data connection, and where in them its end stands. It
// decides nothing and keeps nothing. Only the address in an EPRT is allocated.
//
// What it understands is what the kernel's helper does
// (net/netfilter/ipvs/ip_vs_ftp.c), and like that it wants a line whole, in one segment.
// Other than the kernel it looks at every line of a segment and not at the first one alone, since
// clients do not always wait for an answer before they go on.
package ftp

import "strconv"

// A Kind is a way to make a data connection.
type Kind uint8

const (
	// None is no word about data connections.
	None Kind = iota
	// Active is PORT and EPRT: the server connects to the end that the client names.
	Active
	// Passive is PASV: the client connects to the end in the server's answer 227.
	Passive
	// Extended is EPSV: the client connects to the port in the server's answer 229.
	Extended
)

// An End is an address, IPv4 in the first four bytes, and a port.
type End struct {
	Addr [16]byte
	Port uint16
}

// A Span is a part of a payload, from Start to before End.
type Span struct{ Start, End int }

// Command returns what the last command about data connections asks for in what a client
// sends, with the client's end if it is Active. Those of the other family are none.
func Command(payload []byte, v6 bool) (kind Kind, end End) {
	for at := 0; at < len(payload); {
		line, next := cutLine(payload, at)
		if k, e := command(line, v6); k != None {
			kind, end = k, e
		}
		at = next
	}
	return kind, end
}

func command(line []byte, v6 bool) (Kind, End) {
	const verb = 4
	if len(line) <= verb {
		return None, End{}
	}
	rest := line[verb:]
	ended := rest[0] == '\r' || rest[0] == '\n'
	switch {
	case !v6 && ended && hasWord(line, "PASV"):
		return Passive, End{}
	case hasWord(line, "EPSV") && (ended || namesFamily(rest, v6)):
		return Extended, End{}
	case !v6 && hasWord(line, "PORT"):
		if end, _, ok := plain(rest, skipSpaces(rest)); ok {
			return Active, end
		}
	case hasWord(line, "EPRT"):
		at := skipSpaces(rest)
		if end, _, ok := extended(rest, at, v6); ok && end.Addr != [16]byte{} && at > 0 {
			return Active, end
		}
	}
	return None, End{}
}

// namesFamily reports whether the argument of EPSV is the number of a family (RFC 2428,
// Section 3).
func namesFamily(rest []byte, v6 bool) bool {
	return len(rest) >= 3 && rest[0] == ' ' && rest[1] == family(v6) && (rest[2] == '\r' || rest[2] == '\n')
}

// family is the number of an address family in RFC 2428.
func family(v6 bool) byte {
	if v6 {
		return '2'
	}
	return '1'
}

// Reply finds the answer to a command of the kind in what a server sends: the port that it
// listens on, and the part of the payload that says so, which [AppendEnd] replaces.
func Reply(payload []byte, kind Kind, v6 bool) (port uint16, span Span, ok bool) {
	for at := 0; at < len(payload); {
		line, next := cutLine(payload, at)
		var end End
		switch {
		case kind == Passive && hasWord(line, "227 "):
			end, span, ok = plain(line, skipTo(line, true))
		case kind == Extended && hasWord(line, "229 "):
			end, span, ok = extended(line, skipTo(line, false), v6)
		}
		if ok {
			return end.Port, Span{at + span.Start, at + span.End}, true
		}
		at = next
	}
	return 0, Span{}, false
}

// AppendEnd appends an end as an answer of the kind has it: h1,h2,h3,h4,p1,p2 for Passive, and
// for Extended |||port|, since the client goes to where its control connection goes.
func AppendEnd(b []byte, kind Kind, end *End) []byte {
	if kind == Extended {
		b = append(b, "|||"...)
		b = strconv.AppendUint(b, uint64(end.Port), 10)
		return append(b, '|')
	}
	for _, x := range end.Addr[:4] {
		b = append(strconv.AppendUint(b, uint64(x), 10), ',')
	}
	b = append(strconv.AppendUint(b, uint64(end.Port>>8), 10), ',')
	return strconv.AppendUint(b, uint64(end.Port&0xff), 10)
}

// cutLine returns the line that begins at an offset, with what ends it, and where the next
// one begins.
func cutLine(b []byte, at int) (line []byte, next int) {
	for i := at; i < len(b); i++ {
		if b[i] == '\n' {
			return b[at : i+1], i + 1
		}
	}
	return b[at:], len(b)
}

// hasWord reports whether a line begins with a word in capitals, in whatever case.
func hasWord(line []byte, word string) bool {
	if len(line) < len(word) {
		return false
	}
	for i := range len(word) {
		c := line[i]
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

func skipSpaces(b []byte) int {
	i := 0
	for i < len(b) && b[i] == ' ' {
		i++
	}
	return i
}

// skipTo returns where an end may begin in an answer: behind the bracket, or at the first digit
// of its text, which is enough for 227.
func skipTo(line []byte, digit bool) int {
	const code = 4
	for i := code; i < len(line); i++ {
		switch c := line[i]; {
		case c == '(':
			return i + 1
		case digit && isDigit(c):
			return i
		}
	}
	return len(line)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// number reads a decimal number from an offset. It must end before the line does: the rest of
// it may be in another segment.
func number(b []byte, at int, most uint32) (n uint32, next int, ok bool) {
	i := at
	for ; i < len(b) && isDigit(b[i]); i++ {
		if n = n*10 + uint32(b[i]-'0'); n > most {
			return 0, 0, false
		}
	}
	return n, i, i > at && i < len(b)
}

// plain reads h1,h2,h3,h4,p1,p2.
func plain(b []byte, at int) (end End, span Span, ok bool) {
	span.Start = at
	for i := range 6 {
		if i > 0 {
			if b[at] != ',' {
				return end, span, false
			}
			at++
		}
		n, next, ok := number(b, at, 255)
		if !ok {
			return end, span, false
		}
		if i < 4 {
			end.Addr[i] = byte(n)
		} else {
			end.Port = end.Port<<8 | uint16(n)
		}
		at = next
	}
	span.End = at
	return end, span, end.Port != 0
}

// extended reads |family|address|port|, or |||port| without an address; any printable
// character may stand for the bar (RFC 2428, Section 2).
func extended(b []byte, at int, v6 bool) (end End, span Span, ok bool) {
	if at+3 >= len(b) || b[at] < 33 || b[at] > 126 {
		return end, span, false
	}
	bar := b[at]
	span.Start = at
	at++
	if b[at] == bar {
		if b[at+1] != bar {
			return end, span, false
		}
		at += 2
	} else {
		if b[at] != family(v6) || b[at+1] != bar {
			return end, span, false
		}
		text, next, found := cutAt(b, at+2, bar)
		if !found || !address(text, v6, &end.Addr) {
			return end, span, false
		}
		at = next
	}
	n, next, ok := number(b, at, 65535)
	if !ok || n == 0 || b[next] != bar {
		return end, span, false
	}
	end.Port, span.End = uint16(n), next+1
	return end, span, true
}

// cutAt returns what stands from an offset up to a character, and where the rest begins.
func cutAt(b []byte, at int, c byte) (text []byte, next int, found bool) {
	for i := at; i < len(b); i++ {
		if b[i] == c {
			return b[at:i], i + 1, true
		}
	}
	return nil, 0, false
}
