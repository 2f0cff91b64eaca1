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
