package table_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"uvs/internal/table"
)

var (
	web    = table.Key{Protocol: table.TCP, Addr: netip.MustParseAddr("192.0.2.10"), Port: 80}
	tls    = table.Key{Protocol: table.TCP, Addr: netip.MustParseAddr("192.0.2.10"), Port: 443}
	marked = table.Key{Fwmark: 7}
)

func addr(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(n)}), 80)
}

func weight(w int) table.ServerSettings { return table.ServerSettings{Weight: w} }

// file is a configuration of the service web with a server for each weight: 1, 2, 3 …
// A negative weight is one with inhibit_on_failure.
func file(weights ...int) []table.FileService {
	f := table.FileService{Key: web, Settings: table.ServiceSettings{Scheduler: "rr"}, Group: "web", Quorum: 1}
	for i, w := range weights {
		f.Servers = append(f.Servers, table.FileServer{Addr: addr(i + 1), Settings: weight(max(w, -w)), Inhibit: w < 0})
	}
	return []table.FileService{f}
}

// listing is the table as IPVS would list it: "web rr: .2 w1, .1 w5*"; a star marks what an
// operator changed, "+" what an operator made, "S" a sorry server.
func listing(t *table.Table) string {
	var b strings.Builder
	for i, s := range t.Services() {
		if i > 0 {
			b.WriteString("; ")
		}
		name := map[table.Key]string{web: "web", tls: "tls", marked: "mark"}[s.Key]
		fmt.Fprintf(&b, "%s %s%s:", name, s.Settings.Scheduler, mark(s.FromFile, s.Edited))
		sep := " "
		for _, r := range s.Servers {
			if !r.Listed {
				continue
			}
			sorry := ""
			if r.Sorry {
				sorry = "S"
			}
			fmt.Fprintf(&b, "%s.%d w%d%s%s", sep, r.Addr.Addr().As4()[3], r.Weight, sorry, mark(r.FromFile, r.Edited))
			sep = ", "
		}
	}
	return b.String()
}

func mark(fromFile, edited bool) string {
	switch {
	case !fromFile:
		return "+"
	case edited:
		return "*"
	}
	return ""
}

// A step changes a table.
type step func(*table.Table) error

func load(f []table.FileService) step {
	return func(t *table.Table) error { t.Load(f); return nil }
}

func verdict(n int, up bool) step {
	return func(t *table.Table) error {
		t.Judge(table.Verdict{Group: "web", Server: addr(n), Up: up})
		return nil
	}
}

func down(n int) step { return verdict(n, false) }
func up(n int) step   { return verdict(n, true) }

func add(n, w int) step {
	return func(t *table.Table) error { return t.AddServer(web, addr(n), weight(w)) }
}

func edit(n, w int) step {
	return func(t *table.Table) error { return t.EditServer(web, addr(n), weight(w)) }
}

func remove(n int) step {
	return func(t *table.Table) error { return t.DeleteServer(web, addr(n)) }
}

func scheduler(name string) step {
	return func(t *table.Table) error { return t.EditService(web, table.ServiceSettings{Scheduler: name}) }
}

// TestInterplay: the file, operators, checks and reloads, one after the other.
func TestInterplay(t *testing.T) {
	clear := func(t *table.Table) error { t.Clear(); return nil }
	del := func(t *table.Table) error { return t.DeleteService(web) }
	fresh := func(t *table.Table) error { return t.AddService(web, table.ServiceSettings{Scheduler: "wlc"}) }
	wlc := file(1, 2)
	wlc[0].Settings.Scheduler = "wlc"
	for _, tt := range []struct {
		name  string
		steps []step
		want  string
	}{
		{"the file alone", []step{load(file(1, 2))}, "web rr: .2 w2, .1 w1"},
		{"a failing check removes", []step{load(file(1, 2)), down(1)}, "web rr: .2 w2"},
		{"and brings back at the head", []step{load(file(1, 2)), down(1), up(1)}, "web rr: .1 w1, .2 w2"},
		{"a failing check inhibits", []step{load(file(-1, 2)), down(1)}, "web rr: .2 w2, .1 w0"},
		{"and enables in place", []step{load(file(-1, 2)), down(1), up(1)}, "web rr: .2 w2, .1 w1"},

		{"-e -w changes a weight", []step{load(file(1, 2)), edit(1, 5)}, "web rr: .2 w2, .1 w5*"},
		{"-e -w survives a reload", []step{load(file(1, 2)), edit(1, 5), load(file(1, 2))}, "web rr: .2 w2, .1 w5*"},
		{"-e -w survives a reload that changes the other server", []step{load(file(1, 2)), edit(1, 5), load(file(1, 9))}, "web rr: .2 w9, .1 w5*"},
		{"a reload that changes this server has the last word", []step{load(file(1, 2)), edit(1, 5), load(file(3, 2))}, "web rr: .2 w2, .1 w3"},
		{"-e back to what the file says is no edit", []step{load(file(1, 2)), edit(1, 5), edit(1, 1)}, "web rr: .2 w2, .1 w1"},

		{"-e -w, then a failing check that removes", []step{load(file(1, 2)), edit(1, 5), down(1)}, "web rr: .2 w2"},
		{"then its recovery has the operator's weight", []step{load(file(1, 2)), edit(1, 5), down(1), up(1)}, "web rr: .1 w5*, .2 w2"},
		{"-e -w, then a failing check that inhibits", []step{load(file(-1, 2)), edit(1, 5), down(1)}, "web rr: .2 w2, .1 w0*"},
		{"-e -w while inhibited waits for the recovery", []step{load(file(-1, 2)), down(1), edit(1, 5)}, "web rr: .2 w2, .1 w0*"},
		{"and comes with it", []step{load(file(-1, 2)), down(1), edit(1, 5), up(1)}, "web rr: .2 w2, .1 w5*"},
		{"-e -w, failing check, reload", []step{load(file(-1, 2)), edit(1, 5), down(1), load(file(-1, 2))}, "web rr: .2 w2, .1 w0*"},
		{"-e -w, failing check, reload, recovery", []step{load(file(-1, 2)), edit(1, 5), down(1), load(file(-1, 2)), up(1)}, "web rr: .2 w2, .1 w5*"},
		{"-e -w, failing check, reload that changes it, recovery", []step{load(file(-1, 2)), edit(1, 5), down(1), load(file(-7, 2)), up(1)}, "web rr: .2 w2, .1 w7"},
		{"-e -w 0 drains, and a check that recovers does not undo it", []step{load(file(1, 2)), edit(1, 0), down(1), up(1)}, "web rr: .1 w0*, .2 w2"},

		{"a reload keeps a failing server out", []step{load(file(1, 2)), down(1), load(file(1, 2))}, "web rr: .2 w2"},
		{"a reload to inhibit_on_failure puts it in with 0", []step{load(file(1, 2)), down(1), load(file(-1, 2))}, "web rr: .1 w0, .2 w2"},

		{"-d deletes", []step{load(file(1, 2)), remove(1)}, "web rr: .2 w2"},
		{"-d is not undone by checks", []step{load(file(1, 2)), remove(1), down(1), up(1)}, "web rr: .2 w2"},
		{"-d is not undone by a reload", []step{load(file(1, 2)), remove(1), load(file(1, 2))}, "web rr: .2 w2"},
		{"-d is undone by a reload that changes this server", []step{load(file(1, 2)), remove(1), load(file(4, 2))}, "web rr: .1 w4, .2 w2"},
		{"-d, then -a", []step{load(file(1, 2)), remove(1), add(1, 6)}, "web rr: .1 w6*, .2 w2"},
		{"-d, -a as in the file", []step{load(file(1, 2)), remove(1), add(1, 1)}, "web rr: .1 w1, .2 w2"},

		{"-a adds a stranger", []step{load(file(1, 2)), add(3, 3)}, "web rr: .3 w3+, .2 w2, .1 w1"},
		{"-a survives a reload", []step{load(file(1, 2)), add(3, 3), load(file(1, 2))}, "web rr: .3 w3+, .2 w2, .1 w1"},
		{"-a, then the file has it, too", []step{load(file(1, 2)), add(3, 3), load(file(1, 2, 4))}, "web rr: .3 w4, .2 w2, .1 w1"},
		{"-a of a server that a check took out overrules it", []step{load(file(1, 2)), down(1), add(1, 6)}, "web rr: .1 w6*, .2 w2"},
		{"until it recovers and fails again", []step{load(file(1, 2)), down(1), add(1, 6), up(1), down(1)}, "web rr: .2 w2"},

		{"-E changes the service", []step{load(file(1, 2)), scheduler("wlc")}, "web wlc*: .2 w2, .1 w1"},
		{"-E survives a reload", []step{load(file(1, 2)), scheduler("wlc"), load(file(1, 3))}, "web wlc*: .2 w3, .1 w1"},
		{"-E, then a reload that changes the service", []step{load(file(1, 2)), scheduler("lc"), load(wlc)}, "web wlc: .2 w2, .1 w1"},
		{"-D deletes the service", []step{load(file(1, 2)), del}, ""},
		{"-D is not undone by checks or a reload", []step{load(file(1, 2)), del, down(1), up(1), load(file(1, 2))}, ""},
		{"-D is undone by a reload that changes the service", []step{load(file(1, 2)), del, load(wlc)}, "web wlc: .2 w2, .1 w1"},
		{"-D, then -A and -a", []step{load(file(1, 2)), del, fresh, add(2, 9)}, "web wlc*: .2 w9*"},
		{"-C", []step{load(file(1, 2)), add(3, 3), clear}, ""},
		{"-C, then a reload", []step{load(file(1, 2)), clear, load(file(1, 2))}, ""},

		{"the file loses a server", []step{load(file(1, 2)), load(file(1))}, "web rr: .1 w1"},
		{"the file loses a server that was edited", []step{load(file(1, 2)), edit(2, 7), load(file(1))}, "web rr: .1 w1"},
		{"the file loses the service", []step{load(file(1, 2)), add(3, 3), load(nil)}, ""},
		{"the file gets a service that an operator made", []step{fresh, add(3, 3), load(file(1))}, "web rr: .1 w1, .3 w3+"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := table.New()
			for i, s := range tt.steps {
				before := listing(x)
				c := x.Clone()
				if err := s(c); err != nil {
					t.Fatalf("step %d: %v", i, err)
				}
				if got := listing(x); got != before {
					t.Fatalf("step %d changed the original: %s, then %s", i, before, got)
				}
				x = c
			}
			if got := listing(x); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	rr := table.ServiceSettings{Scheduler: "rr"}
	dr := table.ServerSettings{Method: table.DR, Weight: 1}
	for _, tt := range []struct {
		name string
		do   step
		want table.Code
	}{
		{"-A twice", func(t *table.Table) error { return t.AddService(web, rr) }, table.Exists},
		{"-A with an unknown scheduler", func(t *table.Table) error { return t.AddService(tls, table.ServiceSettings{Scheduler: "wrx"}) }, table.NotFound},
		{"-A with an unknown engine", func(t *table.Table) error {
			return t.AddService(tls, table.ServiceSettings{Scheduler: "rr", Engine: "x"})
		}, table.NotFound},
		{"-A of all ports without persistence", func(t *table.Table) error {
			return t.AddService(table.Key{Protocol: table.TCP, Addr: web.Addr}, rr)
		}, table.Invalid},
		{"-A of all ports with persistence", func(t *table.Table) error {
			return t.AddService(table.Key{Protocol: table.TCP, Addr: web.Addr}, table.ServiceSettings{Scheduler: "rr", Persistence: time.Minute})
		}, ""},
		{"-A of a mark", func(t *table.Table) error { return t.AddService(marked, rr) }, ""},
		{"-E of no service", func(t *table.Table) error { return t.EditService(tls, rr) }, table.NoService},
		{"-E with an unknown scheduler", scheduler("x"), table.NotFound},
		{"-D of no service", func(t *table.Table) error { return t.DeleteService(tls) }, table.NoService},
		{"-a to no service", func(t *table.Table) error { return t.AddServer(tls, addr(1), weight(1)) }, table.NoService},
		{"-a twice", add(1, 1), table.Exists},
		{"-a with thresholds out of order", func(t *table.Table) error {
			return t.AddServer(web, addr(9), table.ServerSettings{Weight: 1, Upper: 5, Lower: 6})
		}, table.Range},
		{"-a with a negative weight", add(9, -1), table.Range},
		{"-a of a multicast address", func(t *table.Table) error {
			return t.AddServer(web, netip.MustParseAddrPort("224.0.0.1:80"), weight(1))
		}, table.Invalid},
		{"-a of another family", func(t *table.Table) error {
			return t.AddServer(web, netip.MustParseAddrPort("[2001:db8::1]:80"), weight(1))
		}, table.Invalid},
		{"-a of another family by tunnel", func(t *table.Table) error {
			return t.AddServer(web, netip.MustParseAddrPort("[2001:db8::1]:80"), table.ServerSettings{Method: table.TUN, Weight: 1, Tunnel: table.Tunnel{Type: "ipip", Checksum: "nocsum"}})
		}, ""},
		{"-a by gue without a port", func(t *table.Table) error {
			return t.AddServer(web, addr(9), table.ServerSettings{Method: table.TUN, Weight: 1, Tunnel: table.Tunnel{Type: "gue", Checksum: "nocsum"}})
		}, table.Invalid},
		{"-a by no type of tunnel", func(t *table.Table) error {
			return t.AddServer(web, addr(9), table.ServerSettings{Method: table.TUN, Weight: 1, Tunnel: table.Tunnel{Type: "vxlan", Checksum: "nocsum"}})
		}, table.Invalid},
		{"-a by a tunnel with no checksum's name", func(t *table.Table) error {
			return t.AddServer(web, addr(9), table.ServerSettings{Method: table.TUN, Weight: 1, Tunnel: table.Tunnel{Type: "gre"}})
		}, table.Invalid},
		{"-a by direct routing to another port", func(t *table.Table) error {
			return t.AddServer(web, netip.MustParseAddrPort("198.51.100.9:81"), dr)
		}, table.Invalid},
		{"-e of no server", edit(9, 1), table.NotFound},
		{"-e of a server that a check took out", func(t *table.Table) error {
			t.Judge(table.Verdict{Group: "web", Server: addr(1)})
			return t.EditServer(web, addr(1), weight(5))
		}, table.NotFound},
		{"-e in no service", func(t *table.Table) error { return t.EditServer(tls, addr(1), weight(1)) }, table.NoService},
		{"-d of no server", remove(9), table.NotFound},
		{"-d in no service", func(t *table.Table) error { return t.DeleteServer(tls, addr(1)) }, table.NoService},
	} {
		x := table.New()
		x.Load(file(1, 2))
		err := tt.do(x)
		var refused *table.Error
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (!errors.As(err, &refused) || refused.Code != tt.want):
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

func TestUnserved(t *testing.T) {
	x := table.New()
	add := func(k table.Key, s table.ServiceSettings) {
		t.Helper()
		if err := x.AddService(k, s); err != nil {
			t.Fatal(err)
		}
	}
	add(marked, table.ServiceSettings{Scheduler: "rr"})
	add(web, table.ServiceSettings{Scheduler: "sed"})
	add(tls, table.ServiceSettings{Scheduler: "sh"})
	add(table.Key{Protocol: table.SCTP, Addr: web.Addr, Port: 80}, table.ServiceSettings{Scheduler: "rr"})
	add(table.Key{Protocol: table.UDP, Addr: web.Addr, Port: 80}, table.ServiceSettings{Scheduler: "rr", OnePacket: true, Engine: "sip", Persistence: time.Minute})
	add(table.Key{Protocol: table.TCP, Addr: web.Addr, Port: 5060}, table.ServiceSettings{Scheduler: "rr", Engine: "sip", Persistence: time.Minute})
	if err := x.AddServer(tls, addr(1), table.ServerSettings{Method: table.TUN, Weight: 1, Tunnel: table.Tunnel{Type: "ipip", Checksum: "nocsum"}}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range x.Services() {
		got = append(got, fmt.Sprint(s.Key, s.Unserved))
		for _, r := range s.Servers {
			got = append(got, r.Addr.String())
		}
	}
	want := []string{
		"FWM 7 []",
		"[192.0.2.10]:tcp:80 []",
		"[192.0.2.10]:tcp:443 []",
		"198.51.100.1:80",
		"[192.0.2.10]:sctp:80 []",
		"[192.0.2.10]:udp:80 []",
		"[192.0.2.10]:tcp:5060 [persistence engine sip reads UDP alone, and IPVS drops all else]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
