package parity

import (
	"fmt"
	"strings"
)

// A Script is a list of commands and packets with what a kernel's IPVS answered to each.
// Each line begins with what it is:
//
//	# a comment
//	case NAME                  begins with an empty table, no connections, all settings as they are by default
//	sysctl NAME VALUE          a setting of net.ipv4.vs
//	mtu DEVICE N               of eth0, towards clients, or eth1, towards servers
//	ipvsadm ARGS               a command; listings are sorted, times rounded up to 10 s
//	rates ARGS                 what "ipvsadm -L -n --rate ARGS" lists over time until all are 0, each picture once
//	wait N                     N seconds
//	client PACKET              a packet from the clients' side
//	server PACKET              a packet from the server with its source address, or else that got the last one
//	answer REST                the same, from and to the ends that the last packet at a server had:
//	                           FLAGS and words for TCP, words for UDP
//	pieces N WHAT PACKET       a packet of client or server in fragments of at most N bytes behind the
//	                           IP header; "pieces -N": the last one first
//	life CLIENT > SERVICE P STEP…  packets of one connection of tcp or sctp: FLAGS or a chunk's TYPE of the
//	                           client, s:FLAGS of the server that got the last one; told is state and
//	                           time after each, or after those behind a step "|"
//	pick CLIENTS > SERVICE P   one packet of protocol P from each of many clients (with SYN for TCP)
//	open CLIENTS > SERVICE     three-way handshakes, in which servers of NAT answer
//	close CLIENTS > SERVICE    FIN of the client, FIN of the server, ACK
//	abort CLIENTS > SERVICE    RST of the client
//	stack …                    before client, server, pieces: the host's own stack gets the packet, too, or alone
//	> a line of the answer
//	~ NAME                     ours is another one on purpose: NAME says why (Differences)
//	- a line of ours
//
// CLIENTS is an end A:P in which a number may be a range, as 203.0.113.1..20:1001 or
// 203.0.113.5:1001..1020. What is answered to many clients is told in short: the number of the
// server that got the first packet of each (* if something came back instead, - if nothing
// did), then the number of all packets seen and a checksum over their texts.
type Script []*Entry

// An Entry is one line of a script, and the answers to it.
type Entry struct {
	Line    int    // in the file, from 1
	Stack   bool   // the line begins with "stack"
	Kind    string // the line's first word, or the second one after "stack"
	Text    string // what follows it
	Kernel  []string
	Differs string   // why ours is another answer; empty: it is not
	Ours    []string // if it is
}

// Want returns the answer that ours should give.
func (e *Entry) Want() []string {
	if e.Differs != "" {
		return e.Ours
	}
	return e.Kernel
}

// String returns the line without its answers.
func (e *Entry) String() string {
	text := strings.TrimSuffix(e.Kind+" "+e.Text, " ")
	if e.Stack {
		return "stack " + text
	}
	return text
}

// kinds are the words that begin a line which is played; the value says whether "stack" may
// stand before it.
func kinds() map[string]bool {
	return map[string]bool{
		"case": false, "sysctl": false, "mtu": false, "ipvsadm": false, "rates": false, "wait": false,
		"client": true, "server": true, "answer": false, "pieces": true, "life": false, "pick": false, "open": false, "close": false, "abort": false,
	}
}

// Parse reads the text of a script.
func Parse(text string) (Script, error) {
	var s Script
	var last *Entry
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		kind, rest, _ := strings.Cut(line, " ")
		switch kind {
		case "", "#":
			s = append(s, &Entry{Line: i + 1, Kind: kind, Text: rest})
			last = nil
			continue
		case ">", "~", "-":
			if last == nil {
				return nil, fmt.Errorf("line %d: %q answers nothing", i+1, line)
			}
			if err := last.answer(kind, rest); err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			continue
		}
		last = &Entry{Line: i + 1, Kind: kind, Text: rest}
		if kind == "stack" {
			last.Stack = true
			last.Kind, last.Text, _ = strings.Cut(rest, " ")
		}
		stack, known := kinds()[last.Kind]
		if !known || last.Stack && !stack {
			return nil, fmt.Errorf("line %d: %q is none of a script's lines", i+1, line)
		}
		s = append(s, last)
	}
	return s, nil
}

func (e *Entry) answer(kind, text string) error {
	switch {
	case kind == ">" && e.Differs == "":
		e.Kernel = append(e.Kernel, text)
	case kind == "~" && e.Differs == "" && text != "":
		e.Differs = text
	case kind == "-" && e.Differs != "":
		e.Ours = append(e.Ours, text)
	default:
		return fmt.Errorf("%q stands where it cannot: the kernel's lines come first, then ~ and ours", kind+" "+text)
	}
	return nil
}

// String is what Parse reads.
func (s Script) String() string {
	var b strings.Builder
	line := func(kind, text string) {
		b.WriteString(strings.TrimSuffix(kind+" "+text, " "))
		b.WriteByte('\n')
	}
	for _, e := range s {
		kind := e.Kind
		if e.Stack {
			kind = "stack " + kind
		}
		line(kind, e.Text)
		for _, l := range e.Kernel {
			line(">", l)
		}
		if e.Differs != "" {
			line("~", e.Differs)
			for _, l := range e.Ours {
				line("-", l)
			}
		}
	}
	return b.String()
}
