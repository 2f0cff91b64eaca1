package daemon

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"uvs/config"
	"uvs/internal/table"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestTranslate holds the way from a configuration to the engines' terms by golden files.
// Those of config hold the way from the file to the model.
func TestTranslate(t *testing.T) {
	files, err := filepath.Glob("testdata/translate/*.conf")
	if err != nil || len(files) == 0 {
		t.Fatalf("no configurations to translate: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".conf"), func(t *testing.T) {
			c, findings := config.Load(os.DirFS("testdata/translate"), filepath.Base(file), config.Options{}, func(*config.File) config.Host { return config.Host{AnyInterface: true} })
			if findings.HasErrors() {
				t.Fatalf("the configuration has errors: %v", findings)
			}
			got := dump(translate(c))
			golden := strings.TrimSuffix(file, ".conf") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("plan differs (-want +got):\n%s", diff)
			}
		})
	}
}

// dump writes all of a plan, a line for each thing.
func dump(p plan) string {
	var b strings.Builder
	if p.timeouts != (timeouts{}) {
		fmt.Fprintf(&b, "timeouts tcp %s, tcpfin %s, udp %s\n", p.timeouts.tcp, p.timeouts.tcpFin, p.timeouts.udp)
	}
	for _, a := range p.holdings.addresses {
		fmt.Fprintf(&b, "address %s on %s of %s, broadcast %s, label %q, scope %d, from %s\n",
			a.prefix, a.device, a.instance, a.spec.Broadcast, a.spec.Label, a.spec.Scope, a.spec.Pos)
	}
	for _, s := range p.services {
		fmt.Fprintf(&b, "service %s %+v, group %s, quorum %d, hysteresis %d, alpha %t\n", s.Key, s.Settings, s.Group, s.Quorum, s.Hysteresis, s.Alpha)
		if s.Naming != (table.Naming{Service: s.Key.String(), Protocol: s.Key.Protocol}) {
			fmt.Fprintf(&b, "  told of as %s, its servers as %s\n", s.Naming.Service, s.Naming.Server(s.Servers[0].Addr))
		}
		for _, r := range s.Servers {
			fmt.Fprintf(&b, "  server %s %+v inhibit %t, starts down %t\n", r.Addr, r.Settings, r.Inhibit, r.StartsDown)
		}
		if s.Sorry != nil {
			fmt.Fprintf(&b, "  sorry server %s %+v inhibit %t\n", s.Sorry.Addr, s.Sorry.Settings, s.Sorry.Inhibit)
		}
	}
	for _, c := range p.checked {
		fmt.Fprintf(&b, "health of %s in %s, key %+v\n", c.server, c.group, c.health.Key)
		for _, check := range c.health.Checks {
			fmt.Fprintf(&b, "    check %+v\n", check)
		}
	}
	t := table.New()
	t.Load(p.services)
	goal := effectiveOf(t.Services(), &markSet{p.marks}).goal
	fmt.Fprintf(&b, "steer services %v\nsteer servers %v\nvips %v\nservers by NAT %v\n", goal.services, goal.servers, goal.vips(), goal.serverAddrs())
	for _, n := range p.notes {
		fmt.Fprintln(&b, n)
	}
	return b.String()
}

// TestTimeoutsOfAReload: what a changed file says about timeouts is set, and what it says no
// longer goes back to the kernel's; what it says as before leaves an operator's --set alone.
func TestTimeoutsOfAReload(t *testing.T) {
	for _, tt := range []struct {
		name           string
		old, now, want timeouts
	}{
		{"at the start", timeouts{}, timeouts{tcp: time.Hour, udp: time.Minute}, timeouts{tcp: time.Hour, udp: time.Minute}},
		{"nothing is said", timeouts{}, timeouts{}, timeouts{}},
		{"the same is said", timeouts{tcp: time.Hour}, timeouts{tcp: time.Hour}, timeouts{}},
		{"one changes", timeouts{tcp: time.Hour, udp: time.Minute}, timeouts{tcp: time.Hour, udp: time.Second}, timeouts{udp: time.Second}},
		{"all go", timeouts{tcp: time.Hour, tcpFin: time.Hour, udp: time.Hour}, timeouts{}, timeouts{tcp: 15 * time.Minute, tcpFin: 2 * time.Minute, udp: 5 * time.Minute}},
	} {
		if got := tt.now.since(tt.old); got != tt.want {
			t.Errorf("%s: set %v, want %v", tt.name, got, tt.want)
		}
	}
}
