package ipvsadmtest

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"uvs/control/ipvsadm"
)

// A World is where a transcript is played: the real ipvsadm on a real kernel, or ours on
// some table.
type World interface {
	// Reset begins a case: an empty table, timeouts 900 120 300, no local address.
	Reset(t *testing.T)
	// Local gives the director an address.
	Local(t *testing.T, a netip.Addr)
	// Send lets a client send datagrams of size bytes to the service to, whose only server
	// takes them.
	Send(t *testing.T, to netip.AddrPort, datagrams, size int, server netip.AddrPort)
	// Connections makes these lines of /proc/net/ip_vs_conn the connections.
	Connections(t *testing.T, procLines []string)
	// Run answers a command line.
	Run(t *testing.T, args []string, stdin string) Answer
	// ProcFile returns a file of /proc/net.
	ProcFile(t *testing.T, name string) string
}

// Read reads the transcript in a file, which must be as String writes it.
func Read(t *testing.T, file string) Transcript {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := Parse(string(text))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if tr.String() != string(text) {
		t.Errorf("%s would be written in another form", file)
	}
	return tr
}

// Play plays the transcript in a world and passes each command's entry with the answer.
func (tr Transcript) Play(t *testing.T, w World, answer func(e *Entry, got Answer)) {
	t.Helper()
	var conns []string
	for _, e := range tr {
		switch e.Kind {
		case "==":
			w.Reset(t)
			conns = nil
		case "+":
			conns = append(conns, e.Text)
			w.Connections(t, slices.Clone(conns))
		case "~":
			e.act(t, w)
		case "$":
			answer(e, w.Run(t, splitWords(e.Text), e.Stdin))
		case "%":
			answer(e, Answer{Stdout: w.ProcFile(t, e.Text)})
		}
	}
}

// act does what a line "~" says.
func (e *Entry) act(t *testing.T, w World) {
	t.Helper()
	words := strings.Fields(e.Text)
	switch {
	case len(words) == 2 && words[0] == "local":
		w.Local(t, netip.MustParseAddr(words[1]))
	case len(words) == 5 && words[0] == "send":
		n, err1 := strconv.Atoi(words[2])
		size, err2 := strconv.Atoi(words[3])
		if err := errors.Join(err1, err2); err != nil {
			t.Fatalf("line %d: %v", e.Line, err)
		}
		w.Send(t, netip.MustParseAddrPort(words[1]), n, size, netip.MustParseAddrPort(words[4]))
	default:
		t.Fatalf("line %d: %q is nothing to do", e.Line, e.Text)
	}
}

// Compare wants the real answer, but for what is known to differ: our own text where the
// transcript has one, and the numbers of lines that our messages of -R begin with.
func (e *Entry) Compare(t *testing.T, file string, got Answer) {
	t.Helper()
	want := e.Real
	if e.Ours != "" {
		want.Stderr = e.Ours
	}
	if strings.HasPrefix(e.Text, "-R") {
		got.Stderr = regexp.MustCompile(`(?m)^line [0-9]+: `).ReplaceAllString(got.Stderr, "")
	}
	if got != want {
		t.Errorf("%s:%d: %s\ngot  %d %q\n%s\nwant %d %q\n%s", file, e.Line, e.Text, got.Status, got.Stderr, got.Stdout, want.Status, want.Stderr, want.Stdout)
	}
}

// Run answers a command line with our ipvsadm on a table, with the transcripts' names.
func Run(t *testing.T, tb ipvsadm.Table, args []string, stdin string) Answer {
	t.Helper()
	var out, errs bytes.Buffer
	status := ipvsadm.Run(t.Context(), ipvsadm.Env{
		Program: "ipvsadm", Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs, Table: tb, Lookup: Lookup(),
	}, args)
	return Answer{out.String(), errs.String(), status}
}

// ProcFile returns a file of /proc/net as we write it for a table.
func ProcFile(t *testing.T, tb ipvsadm.Table, name string) string {
	t.Helper()
	var out bytes.Buffer
	if err := ipvsadm.Proc(t.Context(), &out, tb, name); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// splitWords splits at blanks that are not between apostrophes.
func splitWords(text string) []string {
	var words []string
	var word strings.Builder
	inWord, quoted := false, false
	for _, r := range text {
		switch {
		case r == '\'':
			inWord, quoted = true, !quoted
		case r == ' ' && !quoted:
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord = false
		default:
			inWord = true
			word.WriteRune(r)
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words
}

// The names of the world that transcripts are played in: texts of hosts(5) and services(5).
const (
	Hosts = `127.0.0.1 localhost
192.0.2.10 www.example.org www
198.51.100.11 web-1
198.51.100.12 a-web-server-with-a-long-name.example.org
2001:db8::10 www6.example.org
2001:db8:1::11 a-web-server-with-a-long-name-and-ipv6.example.org
`
	Services = `http     80/tcp  www
https    443/tcp
https    443/udp
domain   53/tcp
domain   53/udp
sip      5060/udp
iscsi    3260/sctp
`
)

// Lookup knows the names of Hosts and Services.
func Lookup() ipvsadm.Lookup {
	type host struct {
		addr  netip.Addr
		names []string
	}
	var hosts []host
	for line := range strings.Lines(Hosts) {
		words := strings.Fields(line)
		hosts = append(hosts, host{netip.MustParseAddr(words[0]), words[1:]})
	}
	return ipvsadm.Lookup{
		Addr: func(_ context.Context, text string) ([]string, error) {
			for _, h := range hosts {
				if h.addr.String() == text {
					return h.names, nil
				}
			}
			return nil, errors.New("no such host")
		},
		Host: func(_ context.Context, name string) ([]netip.Addr, error) {
			for _, h := range hosts {
				if h.addr.Is4() && slices.Contains(h.names, strings.ToLower(name)) {
					return []netip.Addr{h.addr}, nil
				}
			}
			return nil, errors.New("no such host")
		},
		Services: []byte(Services),
	}
}
