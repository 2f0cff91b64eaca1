package table_test

import (
	"slices"
	"strings"
	"testing"

	"uvs/internal/table"
)

// withSorry gives a configuration a sorry server, .99.
func withSorry(f []table.FileService, inhibit bool) []table.FileService {
	f[0].Sorry = &table.FileServer{Addr: addr(99), Settings: weight(1), Inhibit: inhibit}
	return f
}

func withQuorum(f []table.FileService, quorum, hysteresis int) []table.FileService {
	f[0].Quorum, f[0].Hysteresis = quorum, hysteresis
	return f
}

// TestQuorum: verdicts in turn, with the listing and the log after each.
func TestQuorum(t *testing.T) {
	alpha := withSorry(file(1, 1), false)
	alpha[0].Alpha = true
	for i := range alpha[0].Servers {
		alpha[0].Servers[i].StartsDown = true
	}
	type turn struct {
		server int // negative: down
		want   string
		log    string
	}
	for _, tt := range []struct {
		name  string
		file  []table.FileService
		start string
		log   string
		turns []turn
	}{
		{"sorry server", withSorry(file(1, 1), false), "web rr: .2 w1, .1 w1", "", []turn{
			{-1, "web rr: .2 w1", "Removing service [198.51.100.1]:tcp:80 from VS [192.0.2.10]:tcp:80"},
			{-2, "web rr: .99 w1S", "Removing service [198.51.100.2]:tcp:80 from VS [192.0.2.10]:tcp:80 / Lost quorum 1-0=1 > 0 for VS [192.0.2.10]:tcp:80 / " +
				"Adding sorry server [198.51.100.99]:tcp:80 to VS [192.0.2.10]:tcp:80"},
			{1, "web rr: .1 w1", "Adding service [198.51.100.1]:tcp:80 to VS [192.0.2.10]:tcp:80 / Gained quorum 1+0=1 <= 1 for VS [192.0.2.10]:tcp:80 / " +
				"Removing sorry server [198.51.100.99]:tcp:80 from VS [192.0.2.10]:tcp:80"},
		}},
		{"sorry server that is inhibited", withSorry(file(1), true), "web rr: .99 w0S, .1 w1", "", []turn{
			{-1, "web rr: .99 w1S", "Removing service [198.51.100.1]:tcp:80 from VS [192.0.2.10]:tcp:80 / Lost quorum 1-0=1 > 0 for VS [192.0.2.10]:tcp:80 / " +
				"Enabling sorry server [198.51.100.99]:tcp:80 to VS [192.0.2.10]:tcp:80"},
		}},
		{"quorum of two with hysteresis of one", withSorry(withQuorum(file(1, 1, 1), 2, 1), false), "web rr: .3 w1, .2 w1, .1 w1", "", []turn{
			{-1, "web rr: .3 w1, .2 w1", "Removing service [198.51.100.1]:tcp:80 from VS [192.0.2.10]:tcp:80"},
			{-2, "web rr: .3 w1", "Removing service [198.51.100.2]:tcp:80 from VS [192.0.2.10]:tcp:80"},
			{-3, "web rr: .99 w1S", "Removing service [198.51.100.3]:tcp:80 from VS [192.0.2.10]:tcp:80 / Lost quorum 2-1=1 > 0 for VS [192.0.2.10]:tcp:80 / " +
				"Adding sorry server [198.51.100.99]:tcp:80 to VS [192.0.2.10]:tcp:80"},
			{3, "web rr: .99 w1S", "Adding service [198.51.100.3]:tcp:80 to VS [192.0.2.10]:tcp:80"},
			{2, "web rr: .99 w1S", "Adding service [198.51.100.2]:tcp:80 to VS [192.0.2.10]:tcp:80"},
			{1, "web rr: .3 w1, .2 w1, .1 w1", "Adding service [198.51.100.1]:tcp:80 to VS [192.0.2.10]:tcp:80 / Gained quorum 2+1=3 <= 3 for VS [192.0.2.10]:tcp:80 / " +
				"Removing sorry server [198.51.100.99]:tcp:80 from VS [192.0.2.10]:tcp:80"},
		}},
		{"no sorry server: who lives stays", withQuorum(file(1, 1), 2, 0), "web rr: .2 w1, .1 w1", "", []turn{
			{-1, "web rr: .2 w1", "Removing service [198.51.100.1]:tcp:80 from VS [192.0.2.10]:tcp:80 / Lost quorum 2-0=2 > 1 for VS [192.0.2.10]:tcp:80"},
			{-2, "web rr:", "Removing service [198.51.100.2]:tcp:80 from VS [192.0.2.10]:tcp:80"},
		}},
		{"inhibited servers give way to the sorry server, too", withSorry(file(-1, -1), false), "web rr: .2 w1, .1 w1", "", []turn{
			{-1, "web rr: .2 w1, .1 w0", "Disabling service [198.51.100.1]:tcp:80 of VS [192.0.2.10]:tcp:80"},
			{-2, "web rr: .99 w1S", "Disabling service [198.51.100.2]:tcp:80 of VS [192.0.2.10]:tcp:80 / Lost quorum 1-0=1 > 0 for VS [192.0.2.10]:tcp:80 / " +
				"Adding sorry server [198.51.100.99]:tcp:80 to VS [192.0.2.10]:tcp:80"},
		}},
		{"alpha", alpha, "web rr: .99 w1S", "", []turn{
			{1, "web rr: .1 w1", "Adding service [198.51.100.1]:tcp:80 to VS [192.0.2.10]:tcp:80 / Gained quorum 1+0=1 <= 1 for VS [192.0.2.10]:tcp:80 / " +
				"Removing sorry server [198.51.100.99]:tcp:80 from VS [192.0.2.10]:tcp:80"},
			{2, "web rr: .2 w1, .1 w1", "Adding service [198.51.100.2]:tcp:80 to VS [192.0.2.10]:tcp:80"},
			{2, "web rr: .2 w1, .1 w1", ""},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := table.New()
			x.Load(tt.file)
			log := x.Reckon()
			check := func(when, want, wantLog string) {
				t.Helper()
				if got := listing(x); got != want {
					t.Errorf("%s: got  %s\nwant %s", when, got, want)
				}
				if got := strings.Join(log, " / "); got != wantLog {
					t.Errorf("%s: log  %s\nwant %s", when, got, wantLog)
				}
			}
			check("at the start", tt.start, tt.log)
			for _, turn := range tt.turns {
				verdict := table.Verdict{Group: "web", Server: addr(max(turn.server, -turn.server)), Up: turn.server > 0}
				if news := x.News(verdict); news != (turn.log != "") {
					t.Errorf("%s: is news: %t, log %q", turn.want, news, turn.log)
				}
				log = x.Judge(verdict)
				check(strings.TrimSpace(turn.want), turn.want, turn.log)
			}
		})
	}
}

// TestGroupShares: one verdict holds for all services of a group, and is told once, by the group's name.
func TestGroupShares(t *testing.T) {
	f := append(file(1, 2), file(1, 2)...)
	f[1].Key = tls
	for n := range f {
		f[n].Naming = table.Naming{Service: "[web]:0", Protocol: table.TCP}
	}
	x := table.New()
	x.Load(f)
	log := x.Judge(table.Verdict{Group: "web", Server: addr(2)})
	if got, want := listing(x), "web rr: .1 w1; tls rr: .1 w1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if want := []string{"Removing service [198.51.100.2]:tcp:80 from VS [web]:0"}; !slices.Equal(log, want) {
		t.Errorf("log %q, want %q", log, want)
	}
	if x.Alive("web", addr(2)) || !x.Alive("web", addr(1)) {
		t.Error("Alive does not say what the verdict was")
	}
}

// TestReloadTellsWhatChanged holds the lines that `uvs reload` prints.
func TestReloadTellsWhatChanged(t *testing.T) {
	x := table.New()
	x.Load(file(1, 2, 3))
	if got := x.Load(file(1, 2, 3)); len(got) != 0 {
		t.Errorf("the same file changes %q", got)
	}
	next := append(file(1, 5), table.FileService{Key: tls, Settings: table.ServiceSettings{Scheduler: "wlc"}, Group: "tls"})
	next[0].Settings.Scheduler, next[0].Quorum = "wrr", 2
	next[0].Servers = append(next[0].Servers, table.FileServer{Addr: addr(4), Settings: weight(4)})
	got := strings.Join(x.Load(next), "\n")
	want := strings.Join([]string{
		"changed service [192.0.2.10]:tcp:80: scheduler rr → wrr",
		"changed service [192.0.2.10]:tcp:80: quorum 1 → 2",
		"removed server 198.51.100.3:80 of service [192.0.2.10]:tcp:80",
		"changed server 198.51.100.2:80 of service [192.0.2.10]:tcp:80: weight 2 → 5",
		"added server 198.51.100.4:80 to service [192.0.2.10]:tcp:80",
		"added service [192.0.2.10]:tcp:443",
	}, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := strings.Join(x.Load(nil), "\n"); got != "removed service [192.0.2.10]:tcp:80\nremoved service [192.0.2.10]:tcp:443" {
		t.Errorf("an empty file: %s", got)
	}
}

// TestReloadChangesTheQuorum: what a reload says of quorum and sorry server holds at once,
// for the servers that live then.
func TestReloadChangesTheQuorum(t *testing.T) {
	x := table.New()
	x.Load(withSorry(file(1, 1), false))
	x.Reckon()
	x.Judge(table.Verdict{Group: "web", Server: addr(1)})
	for _, tt := range []struct {
		name      string
		file      []table.FileService
		want, log string
	}{
		{"the same", withSorry(file(1, 1), false), "web rr: .2 w1", ""},
		{"a quorum that the living do not reach", withSorry(withQuorum(file(1, 1), 2, 0), false), "web rr: .99 w1S",
			"Lost quorum 2-0=2 > 1 for VS [192.0.2.10]:tcp:80 / Adding sorry server [198.51.100.99]:tcp:80 to VS [192.0.2.10]:tcp:80"},
		{"no sorry server any more", withQuorum(file(1, 1), 2, 0), "web rr: .2 w1", ""},
		{"a heavier server", withSorry(withQuorum(file(1, 5), 2, 0), false), "web rr: .2 w5",
			"Gained quorum 2+0=2 <= 5 for VS [192.0.2.10]:tcp:80 / Removing sorry server [198.51.100.99]:tcp:80 from VS [192.0.2.10]:tcp:80"},
	} {
		x.Load(tt.file)
		log := strings.Join(x.Reckon(), " / ")
		if got := listing(x); got != tt.want || log != tt.log {
			t.Errorf("%s: got  %s, log %s\nwant %s, log %s", tt.name, got, log, tt.want, tt.log)
		}
	}
}

// TestWeigh: what checks make of weights counts for the schedulers and the quorum, leaves what is
// configured alone, and gives way to an operator's word.
func TestWeigh(t *testing.T) {
	tab := table.New()
	tab.Load(withQuorum(file(10, 1), 8, 0))
	step := func(w table.Weight, want string, lines ...string) {
		t.Helper()
		if got := tab.Weigh("web", addr(1), w); !slices.Equal(got, lines) {
			t.Errorf("%+v tells %q, want %q", w, got, lines)
		}
		if got := listing(tab); got != want {
			t.Errorf("%+v gives %q, want %q", w, got, want)
		}
	}
	step(table.Weight{Add: 5}, "web rr: .2 w1, .1 w15", "Changing weight from 10 to 15 for active service [198.51.100.1]:tcp:80 of VS [192.0.2.10]:tcp:80")
	step(table.Weight{Add: 5}, "web rr: .2 w1, .1 w15")
	step(table.Weight{Set: true, Value: 4, Add: -2}, "web rr: .2 w1, .1 w2", "Changing weight from 15 to 2 for active service [198.51.100.1]:tcp:80 of VS [192.0.2.10]:tcp:80",
		"Lost quorum 8-0=8 > 3 for VS [192.0.2.10]:tcp:80")
	step(table.Weight{Add: -99}, "web rr: .2 w1, .1 w0", "Changing weight from 2 to 0 for active service [198.51.100.1]:tcp:80 of VS [192.0.2.10]:tcp:80")
	step(table.Weight{}, "web rr: .2 w1, .1 w10", "Changing weight from 0 to 10 for active service [198.51.100.1]:tcp:80 of VS [192.0.2.10]:tcp:80",
		"Gained quorum 8+0=8 <= 11 for VS [192.0.2.10]:tcp:80")
	if err := tab.EditServer(web, addr(1), weight(7)); err != nil {
		t.Fatal(err)
	}
	step(table.Weight{Add: 5}, "web rr: .2 w1, .1 w7*")
}
