package demo

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares text with testdata/NAME.golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not as expected (-want +got):\n%s", name, diff)
	}
}

func addrs(texts ...string) (list []netip.Addr) {
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

func natPlan() plan {
	return plan{
		mode: NAT, vip4: netip.MustParseAddr("198.51.100.80"), vip6: netip.MustParseAddr("2001:db8:1::80"),
		client: netip.MustParseAddr("198.51.100.101"), inside: netip.MustParseAddr("192.0.2.1"),
		servers4: addrs("192.0.2.201", "192.0.2.202", "192.0.2.203"),
		servers6: addrs("2001:db8:2::201", "2001:db8:2::202", "2001:db8:2::203"),
		port:     8080,
	}
}

func drPlan() plan {
	return plan{
		mode: DR, vip4: netip.MustParseAddr("198.51.100.80"), vip6: netip.MustParseAddr("2001:db8:1::80"),
		client: netip.MustParseAddr("198.51.100.101"), inside: netip.MustParseAddr("198.51.100.1"),
		servers4: addrs("198.51.100.201", "198.51.100.202", "198.51.100.203"),
		servers6: addrs("2001:db8:1::201", "2001:db8:1::202", "2001:db8:1::203"),
		port:     80,
	}
}

func pairPlan() plan {
	p := drPlan()
	p.mode, p.second = Pair, netip.MustParseAddr("198.51.100.2")
	return p
}

func TestSite(t *testing.T) {
	for _, p := range []plan{natPlan(), drPlan(), pairPlan()} {
		name := strings.ToLower(p.mode.String())
		golden(t, "picture-"+name, p.picture())
		golden(t, "keepalived-"+name, p.config(0))
	}
}

// TestSecondDirector: the directors of a pair differ in their priority.
func TestSecondDirector(t *testing.T) {
	p := pairPlan()
	if got, want := p.config(1), strings.ReplaceAll(p.config(0), "priority 150", "priority 100"); got != want || got == p.config(0) {
		t.Errorf("director2 runs with\n%s\nwant\n%s", got, want)
	}
}

// stormy is the load of eleven seconds of which server2 was dead for two, and out of the
// table for one.
func stormy() (*tally, time.Time) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	t := newTally(start, 3)
	var rs []request
	for i := range 1100 {
		at := time.Duration(i) * 10 * time.Millisecond
		r := request{start: start.Add(at), end: start.Add(at + time.Millisecond), server: serverName(i % 3)}
		switch dead := at > 7*time.Second && at < 9*time.Second; {
		case dead && at < 8*time.Second && i%3 == victim:
			r.server, r.err = "", errors.New("connection refused")
		case dead && i%3 == victim:
			r.server = serverName(i % 2 * 2)
		}
		rs = append(rs, r)
	}
	t.add(rs)
	return t, start
}

func TestPicture(t *testing.T) {
	load, start := stormy()
	for _, c := range []struct {
		name    string
		at      time.Duration
		in      []bool
		unicode bool
	}{
		{"nothing yet", 0, []bool{true, true, true}, false},
		{"all answer", 1500 * time.Millisecond, []bool{true, true, true}, true},
		{"one is dead", 8100 * time.Millisecond, []bool{true, true, true}, true},
		{"one is out", 9 * time.Second, []bool{true, false, true}, false},
		{"the window has moved", 11 * time.Second, []bool{true, true, true}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := load.picture(start.Add(c.at), c.in)
			lines := p.block(NAT, "server2 is killed", glyphsFor(c.unicode))
			for _, l := range lines {
				if n := len([]rune(l)); n > 80 {
					t.Errorf("a line has %d columns:\n%s", n, l)
				}
			}
			golden(t, "block-"+strings.ReplaceAll(c.name, " ", "-"), strings.Join(append(lines, "", p.line(), ""), "\n"))
		})
	}
}

// TestPictureNeedsNoTraffic: cells in which nothing ended count as well.
func TestPictureNeedsNoTraffic(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	load := newTally(start, 2)
	load.add([]request{{end: start.Add(-time.Second), server: "server1"}, {end: start.Add(time.Millisecond), server: "server2"}})
	p := load.picture(start.Add(3*time.Second), []bool{true, true})
	if p.requests != 1 {
		t.Errorf("%d requests, want 1: the other one ended before the start", p.requests)
	}
	if p.servers[1].rate != 0 || len(p.servers[1].cells) != 12 {
		t.Errorf("server2 has rate %d and %d cells, want 0 and 12", p.servers[1].rate, len(p.servers[1].cells))
	}
}

// TestScreen: on a terminal a picture is drawn over the last one, until it is released.
func TestScreen(t *testing.T) {
	load, start := stormy()
	p := load.picture(start.Add(time.Second), []bool{true, true, true})
	tell := func(live bool) string {
		var b strings.Builder
		s := newScreen(&b, live, glyphsFor(false))
		s.stage(start, NAT, "1", "every server answers")
		s.draw(start, p)
		s.draw(start, p)
		s.event(1500*time.Millisecond, "server2 is killed")
		s.draw(start, p)
		s.text("$ ipvsadm -Ln\n")
		s.draw(start, p)
		return b.String()
	}
	golden(t, "screen-live", strings.ReplaceAll(tell(true), "\x1b", "<ESC>"))
	golden(t, "screen-plain", tell(false))
}

func TestScreenPace(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, live := range []bool{true, false} {
		s := newScreen(new(strings.Builder), live, glyphsFor(false))
		s.stage(now, NAT, "1", "every server answers")
		want := map[time.Duration]bool{0: false, 100 * time.Millisecond: false, 200 * time.Millisecond: live, time.Second: true}
		for after, due := range want {
			if got := s.due(now.Add(after)); got != due {
				t.Errorf("live %t: due after %v is %t, want %t", live, after, got, due)
			}
		}
		s.event(0, "server2 is killed")
		if got := s.due(now); got != live {
			t.Errorf("live %t: due after an event is %t, want %t", live, got, live)
		}
	}
}

func TestUTF8Locale(t *testing.T) {
	for _, c := range []struct {
		env  string
		want bool
	}{
		{"", false},
		{"LANG=C", false},
		{"LANG=de_CH.UTF-8", true},
		{"LANG=C.utf8", true},
		{"LANG=C.UTF-8 LC_ALL=C", false},
		{"LANG=C LC_CTYPE=C.UTF-8", true},
	} {
		env := strings.Fields(c.env)
		got := utf8Locale(func(name string) (string, bool) {
			i := slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
			if i < 0 {
				return "", false
			}
			return env[i][len(name)+1:], true
		})
		if got != c.want {
			t.Errorf("%q shows UTF-8: %t, want %t", c.env, got, c.want)
		}
	}
}
