package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"uvs/internal/mail"
	"uvs/internal/table"
)

// TestTurns: what changed between two tables, once for each group; sorry servers, those of
// operators and those that are new turn nowhere.
func TestTurns(t *testing.T) {
	a, b, sorry, extra := netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("10.0.0.2:80"), netip.MustParseAddrPort("10.0.0.9:80"), netip.MustParseAddrPort("10.0.0.8:80")
	service := func(vip string, noQuorum bool, down ...netip.AddrPort) table.Service {
		s := table.Service{
			Key: table.Key{Addr: netip.MustParseAddr(vip), Port: 80, Protocol: table.TCP}, FromFile: true, Group: "G", NoQuorum: noQuorum,
			Servers: []table.Server{{Addr: a, FromFile: true}, {Addr: b, FromFile: true}, {Addr: sorry, FromFile: true, Sorry: true}, {Addr: extra}},
		}
		for n := range s.Servers {
			s.Servers[n].Down = slices.Contains(down, s.Servers[n].Addr)
		}
		return s
	}
	show := func(list []turn) (out []string) {
		for _, x := range list {
			what := "quorum"
			if x.server.IsValid() {
				what = x.server.String()
			}
			out = append(out, fmt.Sprintf("%s %s", what, upOrDown(x.up)))
		}
		return out
	}
	for name, x := range map[string]struct {
		before, after []table.Service
		want          []string
	}{
		"nothing":           {[]table.Service{service("192.0.2.1", false)}, []table.Service{service("192.0.2.1", false)}, nil},
		"a server":          {[]table.Service{service("192.0.2.1", false)}, []table.Service{service("192.0.2.1", false, a)}, []string{"10.0.0.1:80 DOWN"}},
		"the last one":      {[]table.Service{service("192.0.2.1", false, a)}, []table.Service{service("192.0.2.1", true, a, b)}, []string{"10.0.0.2:80 DOWN", "quorum DOWN"}},
		"back":              {[]table.Service{service("192.0.2.1", true, a, b)}, []table.Service{service("192.0.2.1", false, b)}, []string{"10.0.0.1:80 UP", "quorum UP"}},
		"others":            {[]table.Service{service("192.0.2.1", false)}, []table.Service{service("192.0.2.1", false, sorry, extra)}, nil},
		"two of one group":  {[]table.Service{service("192.0.2.1", false), service("192.0.2.2", false)}, []table.Service{service("192.0.2.1", false, a), service("192.0.2.2", false, a)}, []string{"10.0.0.1:80 DOWN"}},
		"a service is new":  {nil, []table.Service{service("192.0.2.1", true, a)}, nil},
		"a service is gone": {[]table.Service{service("192.0.2.1", false)}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := show(turns(x.before, x.after)); !slices.Equal(got, x.want) {
				t.Errorf("turns are %v, want %v", got, x.want)
			}
		})
	}
	services := []table.Service{service("192.0.2.1", false, b), service("192.0.2.2", false, b)}
	if got := farewells(services, map[string]serviceAlerts{"G": {}}); len(got) != 0 {
		t.Errorf("without omega the farewells are %v", show(got))
	}
	if got, want := show(farewells(services, map[string]serviceAlerts{"G": {omega: true}})), []string{"10.0.0.1:80 DOWN", "quorum DOWN"}; !slices.Equal(got, want) {
		t.Errorf("the farewells are %v, want %v", got, want)
	}
	for n, x := range farewells(services, map[string]serviceAlerts{"G": {omega: true}}) {
		said := []mail.Message{x.serverMail("LB1", mail.HTTP), x.quorumMail("LB1")}[n]
		if !strings.HasSuffix(said.Subject, "- DOWN") || said.Body != "=> Shutting down <=" {
			t.Errorf("the mail is %q, %q", said.Subject, said.Body)
		}
	}
}

// TestPartings: what a reload leaves out goes down, once for each group, if it was alive and in the list; with a whole service
// its quorum goes. Addresses of a group that come and go are no news.
func TestPartings(t *testing.T) {
	a, b, sorry, extra := netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("10.0.0.2:80"), netip.MustParseAddrPort("10.0.0.9:80"), netip.MustParseAddrPort("10.0.0.8:80")
	up := func(addr netip.AddrPort) table.Server { return table.Server{Addr: addr, FromFile: true, Listed: true} }
	down := func(addr netip.AddrPort) table.Server { return table.Server{Addr: addr, FromFile: true, Down: true} }
	inhibited := table.Server{Addr: b, FromFile: true, Listed: true, Down: true, Inhibit: true}
	aside := table.Server{Addr: a, FromFile: true} // a sorry server serves
	standIn := table.Server{Addr: sorry, FromFile: true, Listed: true, Sorry: true}
	other := table.Server{Addr: extra, Listed: true} // an operator's
	service := func(vip string, servers ...table.Server) table.Service {
		return table.Service{
			Key: table.Key{Addr: netip.MustParseAddr(vip), Port: 80, Protocol: table.TCP}, FromFile: true, Group: "G",
			Quorum: 2, Hysteresis: 1, Servers: servers, Naming: table.Naming{Service: "[G]:0", Protocol: table.TCP},
		}
	}
	lost := func(s table.Service) table.Service { s.NoQuorum = true; return s }
	operators := service("192.0.2.1", other)
	operators.FromFile, operators.Group = false, ""
	for name, x := range map[string]struct {
		before, after []table.Service
		want          []string
	}{
		"nothing":                               {[]table.Service{service("192.0.2.1", up(a), down(b))}, []table.Service{service("192.0.2.1", up(a), down(b))}, nil},
		"a living server":                       {[]table.Service{service("192.0.2.1", up(a), up(b), standIn)}, []table.Service{service("192.0.2.1", up(b))}, []string{"10.0.0.1:80"}},
		"a dead server":                         {[]table.Service{service("192.0.2.1", up(a), down(b))}, []table.Service{service("192.0.2.1", up(a))}, nil},
		"an inhibited server":                   {[]table.Service{service("192.0.2.1", up(a), inhibited)}, []table.Service{service("192.0.2.1", up(a))}, nil},
		"a sorry server":                        {[]table.Service{service("192.0.2.1", aside, standIn)}, []table.Service{service("192.0.2.1", aside)}, nil},
		"one that a sorry server stands in for": {[]table.Service{lost(service("192.0.2.1", aside, standIn))}, []table.Service{lost(service("192.0.2.1", standIn))}, nil},
		"one that is the sorry server now":      {[]table.Service{service("192.0.2.1", up(sorry), up(b))}, []table.Service{service("192.0.2.1", up(b), standIn)}, []string{"10.0.0.9:80"}},
		"a whole service":                       {[]table.Service{service("192.0.2.1", up(a), down(b), other)}, nil, []string{"10.0.0.1:80", "quorum"}},
		"a service without quorum":              {[]table.Service{lost(service("192.0.2.1", up(a), down(b)))}, nil, []string{"10.0.0.1:80"}},
		"an address of a group":                 {[]table.Service{service("192.0.2.1", up(a)), service("192.0.2.2", up(a))}, []table.Service{service("192.0.2.2", up(a))}, nil},
		"a whole group":                         {[]table.Service{service("192.0.2.1", up(a)), service("192.0.2.2", up(a))}, []table.Service{operators}, []string{"10.0.0.1:80", "quorum"}},
		"an operator's service":                 {[]table.Service{operators}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, p := range partings(x.before, x.after) {
				if p.up {
					t.Errorf("%v goes up", p.server)
				}
				if p.server.IsValid() {
					got = append(got, p.server.String())
					if m := p.serverMail("LB1", mail.TCP); !strings.HasSuffix(m.Subject, " of virtual server [G]:0 - DOWN") || m.Body != "=> Removing <=" {
						t.Errorf("the mail is %q, %q", m.Subject, m.Body)
					}
					continue
				}
				got = append(got, "quorum")
				if m := p.quorumMail("LB1"); m.Body != "=> Lost quorum 2-1=1 > 0 <=" {
					t.Errorf("the mail about the quorum is %q", m.Body)
				}
			}
			if !slices.Equal(got, x.want) {
				t.Errorf("partings are %v, want %v", got, x.want)
			}
		})
	}

	// With a service gone there is no living weight, whatever there was.
	living := table.New()
	living.Load([]table.FileService{{
		Key: table.Key{Addr: netip.MustParseAddr("192.0.2.1"), Port: 80, Protocol: table.TCP}, Group: "G", Quorum: 1,
		Servers: []table.FileServer{{Addr: a, Settings: table.ServerSettings{Weight: 3}}},
	}})
	list := partings(living.Services(), nil)
	if got, want := list[len(list)-1].quorumMail("LB1").Body, "=> Lost quorum 1-0=1 > 0 <="; got != want {
		t.Errorf("the mail about the quorum is %q, want %q", got, want)
	}
}
