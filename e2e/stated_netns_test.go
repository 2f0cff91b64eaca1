//go:build netns

package e2e

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

var updateStated = flag.Bool("update", false, "write what the acceptance configurations come to into testdata/stated")

// stated are the acceptance configurations with services that no other test runs, and their servers that are not there.
// All other servers answer. What follows a "+" tells two runs of a configuration apart.
func stated() map[string]string {
	return map[string]string{
		"03-seed-web-cluster-no-delay-loop":    "192.168.1.142",
		"04-seed-small-box-nat":                "172.16.0.3",
		"05-seed-small-box-nat-no-retry-delay": "",
		"19-vrrp-notify-fifo":                  "",
		"23-lvs-dr-wlc":                        "192.168.1.62",
		"24-lvs-tun":                           "198.51.100.13",
		"25-lvs-nat-portmap":                   "10.0.70.2",
		"26-lvs-persistence":                   "192.168.1.28",
		"27-lvs-udp-dns":                       "",
		"28-lvs-group-range-fwmark":            "10.0.30.22",
		"29-lvs-quorum-sorry+whole":            "",
		"29-lvs-quorum-sorry":                  "192.168.1.242 192.168.1.243",
		"30-lvs-ipv6":                          "2001:db8:1::68 2001:db8:2::68",
		"31-lvs-all-schedulers":                "",
		"32-checkers-all":                      "10.0.30.43",
		"33-checkers-http-advanced":            "",
		"34-lvs-syncd-timeouts":                "",
		"35-lvs-sctp-ftp":                      "192.168.1.38",
		"36-bfd-tracking":                      "",
		"37-parser-features":                   "192.168.1.62",
		"38-include-main":                      "",
		"39-minimal-defaults":                  "",
		"40-large-site":                        "10.0.30.102",
	}
}

var (
	serverWord = regexp.MustCompile(`(?m)^\s*(?:real_server|sorry_server) (\S+)(?: (\d+))?`)
	portWord   = regexp.MustCompile(`connect_port (\d+)`)
)

// TestConfigurationsDoWhatTheySay runs each acceptance configuration with its servers: ipvsadm's listing and the state of
// each server, check and quorum come to what testdata/stated has, which is what the comment at its head says.
func TestConfigurationsDoWhatTheySay(t *testing.T) {
	for name, silent := range stated() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runStated(t, name, strings.Fields(silent))
		})
	}
}

func runStated(t *testing.T, name string, silent []string) {
	conf, _, _ := strings.Cut(name, "+")
	file, err := filepath.Abs(filepath.Join(acceptance, conf+".conf"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	switch name {
	case "37-parser-features": // the addresses are made of definitions
		text += "\nreal_server 192.168.1.61 8080\nreal_server 192.168.1.62 8080\n"
	case "38-include-main":
		text += "\nreal_server 192.168.1.138 80\nreal_server 192.168.1.138 443\n"
	}
	director, servers := statedSite(t)
	serve(t, servers, text, silent)
	d := launchFile(t, director, file, "-i", "main", "--ring-memory", "4M", "--workers", "1")
	d.waitReady()
	golden := filepath.Join("testdata", "stated", name+".golden")
	if *updateStated {
		labtest.Eventually(t, time.Minute, func() error {
			if p := picture(d); strings.Contains(p, "pending") || strings.Contains(p, "retries") {
				return fmt.Errorf("not settled:\n%s", p)
			}
			return nil
		})
		write(t, golden, picture(d))
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	labtest.Eventually(t, time.Minute, func() error {
		if got := picture(d); got != string(want) {
			return fmt.Errorf("it comes to\n%s\nwant\n%s", got, want)
		}
		return nil
	})
	d.stop()
}

// picture is what a director makes of its configuration: the listing, and below it what that does not show.
func picture(d *director) string {
	var b strings.Builder
	_, list, _ := strings.Cut(d.uvs("ipvsadm", "-L", "-n"), "\n")
	b.WriteString(list)
	for _, s := range d.status().Services {
		fmt.Fprintf(&b, "%s:", serviceName(&s))
		if s.Quorum != nil {
			fmt.Fprintf(&b, " quorum %d hysteresis %d up %t", s.Quorum.Required, s.Quorum.Hysteresis, s.Quorum.Up)
		}
		for _, u := range s.Unserved {
			fmt.Fprintf(&b, " (%s)", u)
		}
		b.WriteString("\n")
		slices.SortFunc(s.Servers, func(a, b control.Server) int { return a.Address.Compare(b.Address) })
		for _, r := range s.Servers {
			fmt.Fprintf(&b, "  %s weight %d of %d %s", netip.AddrPortFrom(r.Address, r.Port), r.EffectiveWeight, r.Weight, r.State)
			if r.Sorry {
				b.WriteString(" sorry")
			}
			if r.UpperThreshold+r.LowerThreshold > 0 {
				fmt.Fprintf(&b, " thresholds %d %d", r.UpperThreshold, r.LowerThreshold)
			}
			if r.Tunnel != nil {
				fmt.Fprintf(&b, " %s %d %s", r.Tunnel.Type, r.Tunnel.Port, r.Tunnel.Checksum)
			}
			for _, c := range r.Checks {
				if c.State == control.CheckDown && c.LastError == "" { // by alpha
					c.State = control.CheckPending
				}
				fmt.Fprintf(&b, ", %s %s", c.Kind, c.State)
				if c.State != control.CheckDown && c.LastError != "" {
					b.WriteString(" (retries)")
				}
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

func serviceName(s *control.Service) string {
	if s.Fwmark != 0 {
		return fmt.Sprintf("fwmark %d", s.Fwmark)
	}
	return fmt.Sprintf("%s %s", s.Protocol, netip.AddrPortFrom(s.Address, s.Port))
}

// statedSite is languageHost's machine with a host at the other end of all of its interfaces.
func statedSite(t *testing.T) (director, servers *netlab.Host) {
	t.Helper()
	site := labtest.New(t)
	director, servers = labtest.Host(t, site, "director"), labtest.Host(t, site, "servers")
	for i, l := range []struct{ name, addrs string }{
		{"eth0", "192.168.1.11/24 2001:db8:1::11/64"},
		{"eth1", "10.0.30.11/16 2001:db8:2::11/64"},
		{"eth2", "10.20.30.11/24 198.51.100.1/24"},
		{"bond0.2", "192.168.0.150/24"},
		{"bond0.10", "172.16.0.1/24"},
		{"ens3", "172.18.1.23/24"},
	} {
		if err := site.Connect(director, l.name, servers, fmt.Sprintf("p%d", i)); err != nil {
			t.Fatal(err)
		}
		for a := range strings.FieldsSeq(l.addrs) {
			if err := director.AddAddr(l.name, netip.MustParsePrefix(a)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return director, servers
}

// serve gives the servers that a configuration names addresses on their host, but for the silent ones, and has their
// ports take connections; nginx is there where pages are asked for.
func serve(t *testing.T, servers *netlab.Host, text string, silent []string) {
	t.Helper()
	networks := []string{"192.168.1.0/24", "10.0.0.0/16", "198.51.100.0/24", "192.168.0.0/24", "172.16.0.0/24", "172.18.1.0/24"}
	networks6 := []string{"2001:db8:1::/64", "2001:db8:2::/64"}
	have, ports := map[string]bool{}, map[string]bool{}
	for _, m := range serverWord.FindAllStringSubmatch(text, -1) {
		a, err := netip.ParseAddr(m[1])
		if err != nil || a.IsLoopback() {
			continue
		}
		ports[m[2]] = true
		if have[m[1]] || slices.Contains(silent, m[1]) {
			continue
		}
		have[m[1]] = true
		for i, n := range slices.Concat(networks, networks6) {
			if p := netip.MustParsePrefix(n); p.Contains(a) {
				if err := servers.AddAddr(fmt.Sprintf("p%d", i%len(networks)), netip.PrefixFrom(a, p.Bits())); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, m := range portWord.FindAllStringSubmatch(text, -1) {
		ports[m[1]] = true
	}
	if strings.Contains(text, "HTTP_GET") {
		w := startWeb(t, servers)
		write(t, filepath.Join(w.dir, "www", "index.html"), "a page\n")
		ports["80"], ports["8080"] = false, false
	}
	for port, free := range ports {
		if port == "" || port == "0" || !free {
			continue
		}
		l, err := servers.Listen(t.Context(), "tcp", ":"+port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() }) //nolint:errcheck // it is the end
	}
}
