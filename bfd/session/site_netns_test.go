//go:build netns

package session

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"uvs/bfd"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// slack is how much later than the protocol says something may be on a busy machine with two cores.
const slack = 250 * ms

// comeUp is how long a session may take to come up once both ends can hear each other: each speaks once a second, and
// keepalived waits as long with each answer.
const comeUp = 5 * time.Second

// A pair is two hosts at a switch.
type pair struct {
	net  *netlab.Bridge
	a, b *netlab.Host
}

func newPair(t *testing.T) *pair {
	t.Helper()
	site := labtest.New(t)
	p := &pair{a: labtest.Host(t, site, "a"), b: labtest.Host(t, site, "b")}
	var err error
	if p.net, err = site.AddBridge("net"); err != nil {
		t.Fatal(err)
	}
	for i, h := range []*netlab.Host{p.a, p.b} {
		check(t, p.net.Attach(h, "eth0"))
		check(t, h.AddAddr("eth0", netip.MustParsePrefix(fmt.Sprintf("192.0.2.%d/24", i+1))))
		check(t, h.AddAddr("eth0", netip.MustParsePrefix(fmt.Sprintf("2001:db8::%d/64", i+1))))
	}
	return p
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// deafen has a host hear no BFD until the returned function is called.
func deafen(t *testing.T, h *netlab.Host) (heal func()) {
	t.Helper()
	labtest.Run(t, h, "nft", "table inet deaf { chain in { type filter hook input priority 0; udp dport { 3784, 4784 } drop; }; }")
	return func() { labtest.Run(t, h, "nft", "delete table inet deaf") }
}

// A speaker is a process with a Set on a host.
type speaker struct {
	t    *testing.T
	proc *netlab.Process
	in   io.WriteCloser
	seen int // lines of output that tests have looked at
}

func startSpeaker(t *testing.T, h *netlab.Host, list ...Config) *speaker {
	t.Helper()
	r, w, err := os.Pipe()
	check(t, err)
	p := labtest.StartCmd(t, h, netlab.Cmd{Name: os.Args[0], Env: []string{speakerEnv + "=1"}, Stdin: r})
	r.Close()
	t.Cleanup(func() { w.Close() })
	s := &speaker{t: t, proc: p, in: w}
	s.apply(list...)
	return s
}

func (s *speaker) apply(list ...Config) {
	s.t.Helper()
	b, err := json.Marshal(list)
	check(s.t, err)
	s.write(string(b))
}

func (s *speaker) write(line string) {
	s.t.Helper()
	_, err := io.WriteString(s.in, line+"\n")
	check(s.t, err)
}

// report returns the counters and sessions as they are.
func (s *speaker) report() string {
	s.t.Helper()
	from := s.seen
	defer func() { s.seen = from }()
	s.skip()
	s.write("?")
	var line string
	labtest.Eventually(s.t, labtest.Hang, func() (err error) {
		_, line, err = s.line("report ")
		return err
	})
	return line
}

// reports returns an error that has the report, unless that has the text.
func (s *speaker) reports(text string) error {
	if r := s.report(); !strings.Contains(r, text) {
		return fmt.Errorf("no %q in %s", text, r)
	}
	return nil
}

// skip forgets what has been said until now.
func (s *speaker) skip() { s.seen = strings.Count(s.proc.Stdout(), "\n") }

// line returns the time and text of the first line since the last skip with that text in it.
func (s *speaker) line(text string) (at time.Time, line string, err error) {
	lines := strings.SplitAfter(s.proc.Stdout(), "\n")
	for _, l := range lines[min(s.seen, len(lines)):] {
		stamp, rest, _ := strings.Cut(l, " ")
		if nano, err := strconv.ParseInt(stamp, 10, 64); err == nil && strings.Contains(rest, text) && strings.HasSuffix(l, "\n") {
			return time.Unix(0, nano), strings.TrimSpace(rest), nil
		}
	}
	return time.Time{}, "", fmt.Errorf("no %q in:\n%s", text, s.proc.Output())
}

// find waits for a line with that text and returns when it was written.
func (s *speaker) find(text string) (at time.Time) {
	s.t.Helper()
	labtest.Eventually(s.t, labtest.Hang, func() (err error) {
		at, _, err = s.line(text)
		return err
	})
	return at
}

// never wants no line with that text since the last skip.
func (s *speaker) never(text string) {
	s.t.Helper()
	if at, line, err := s.line(text); err == nil {
		s.t.Errorf("at %v: %s", at, line)
	}
}

// after returns an error until d has passed.
func after(begin time.Time, d time.Duration) error {
	if left := d - time.Since(begin); left > 0 {
		return fmt.Errorf("%v are left", left)
	}
	return nil
}

// A route is two hosts with a router between them.
type route struct{ a, b *netlab.Host }

func newRoute(t *testing.T) *route {
	t.Helper()
	site := labtest.New(t)
	r := &route{a: labtest.Host(t, site, "a"), b: labtest.Host(t, site, "b")}
	router := labtest.Host(t, site, "router")
	check(t, router.Sysctl("net.ipv4.ip_forward", "1"))
	for i, h := range []*netlab.Host{r.a, r.b} {
		net := netip.MustParsePrefix([]string{"192.0.2.0/24", "198.51.100.0/24"}[i])
		name := "to-" + h.Name()
		check(t, site.Connect(h, "eth0", router, name))
		one := net.Addr().Next()
		check(t, h.AddAddr("eth0", netip.PrefixFrom(one, 24)))
		check(t, router.AddAddr(name, netip.PrefixFrom(one.Next(), 24)))
		check(t, h.AddRoute(netip.MustParsePrefix("0.0.0.0/0"), one.Next(), ""))
	}
	return r
}

// between wants a time within bounds of another; how says what is measured.
func between(t *testing.T, how string, from, at time.Time, least, most time.Duration) {
	t.Helper()
	got := at.Sub(from)
	t.Logf("%s: %v (allowed %v to %v)", how, got.Round(100*time.Microsecond), least, most)
	if got < least || got > most {
		t.Errorf("%s: %v, want %v to %v", how, got, least, most)
	}
}

// to4 and to6 are sessions between the hosts of a pair: 200 ms and three packets, 60 ms and five.
func to4(peer string) Config {
	return Config{
		Config: bfd.Config{Name: "v4", MinTx: 200 * ms, MinRx: 200 * ms, IdleTx: time.Second, Multiplier: 3},
		Peer:   netip.MustParseAddr(peer), TTL: 255,
	}
}

func to6(peer string) Config {
	return Config{
		Config: bfd.Config{Name: "v6", MinTx: 60 * ms, MinRx: 60 * ms, IdleTx: time.Second, Multiplier: 5},
		Peer:   netip.MustParseAddr(peer), TTL: 64, // keepalived's default
	}
}

// period4 and detection4 are what to4 comes to, and so on.
const (
	period4, detection4 = 200 * ms, 600 * ms
	period6, detection6 = 60 * ms, 300 * ms
)
