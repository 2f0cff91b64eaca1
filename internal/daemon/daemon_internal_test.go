package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"uvs/conntrack"
	"uvs/control"
	"uvs/forwarding"
	"uvs/health"
	"uvs/internal/table"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testPlan has one service with a server that is removed on failure and one that is inhibited.
func testPlan() plan {
	key := table.Key{Addr: netip.MustParseAddr("192.0.2.10"), Port: 80, Protocol: 6}
	p := plan{services: []table.FileService{{
		Key: key, Settings: table.ServiceSettings{Scheduler: "rr"}, Group: key.String(), Quorum: 1,
	}}}
	for n := 1; n <= 2; n++ {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(10 + n)}), 80)
		p.services[0].Servers = append(p.services[0].Servers, table.FileServer{
			Addr: addr, Settings: table.ServerSettings{Weight: n}, Inhibit: n == 2,
		})
		p.checked = append(p.checked, checked{group: key.String(), server: addr, health: health.Server{
			Key:    health.Key{Service: key.String(), Server: fmt.Sprintf("[%s]:tcp:80", addr.Addr())},
			Checks: []health.Check{{Target: addr}},
		}})
	}
	return p
}

// enter brings an engine in line with a table.
func enter(t *testing.T, e *forwarding.Engine, x *table.Table) {
	t.Helper()
	current := e.Services()
	if err := e.Update(func(tx *forwarding.Tx) error { return effectiveOf(x.Services(), nil).sync(tx, current, fates(x, x)) }); err != nil {
		t.Fatal(err)
	}
}

func newEngine(t *testing.T) *forwarding.Engine {
	t.Helper()
	e, err := forwarding.New(forwarding.Config{Workers: 1, Flows: conntrack.Config{MaxFlows: 100}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() }) //nolint:errcheck // the test is over
	return e
}

// tableOf lists the engine's servers as "address weight".
func tableOf(e *forwarding.Engine) string {
	var rows []string
	for _, s := range e.Services() {
		for _, r := range s.Servers {
			rows = append(rows, fmt.Sprintf("%s %d", r.Addr, r.Spec.Weight))
		}
	}
	return strings.Join(rows, ", ")
}

func TestVerdictsEnterTheEngine(t *testing.T) {
	p := testPlan()
	x := table.New()
	x.Load(p.services)
	e := newEngine(t)
	enter(t, e, x)
	removed, inhibited := p.checked[0], p.checked[1]
	for _, step := range []struct {
		name string
		of   checked
		up   bool
		want string
	}{
		{"up at the start is no news", removed, true, "198.51.100.12:80 2, 198.51.100.11:80 1"},
		{"down removes", removed, false, "198.51.100.12:80 2"},
		{"down again is no news", removed, false, "198.51.100.12:80 2"},
		{"down inhibits", inhibited, false, "198.51.100.12:80 0"},
		{"up adds at the head", removed, true, "198.51.100.11:80 1, 198.51.100.12:80 0"},
		{"up enables in place", inhibited, true, "198.51.100.11:80 1, 198.51.100.12:80 2"},
		{"a stranger is no news", checked{group: "x", server: removed.server}, false, "198.51.100.11:80 1, 198.51.100.12:80 2"},
	} {
		x.Judge(table.Verdict{Group: step.of.group, Server: step.of.server, Up: step.up})
		enter(t, e, x)
		if got := tableOf(e); got != step.want {
			t.Errorf("%s: table %q, want %q", step.name, got, step.want)
		}
	}
}

// TestEngineFollowsTheOrder: a server that leaves the table and returns within one change
// comes to the head, and keeps its identity.
func TestEngineFollowsTheOrder(t *testing.T) {
	p := testPlan()
	x := table.New()
	x.Load(p.services)
	e := newEngine(t)
	enter(t, e, x)
	k, first := p.services[0].Key, p.services[0].Servers[0].Addr
	if err := errors.Join(x.DeleteServer(k, first), x.AddServer(k, first, table.ServerSettings{Weight: 7})); err != nil {
		t.Fatal(err)
	}
	enter(t, e, x)
	if got, want := tableOf(e), "198.51.100.11:80 7, 198.51.100.12:80 2"; got != want {
		t.Errorf("table %q, want %q", got, want)
	}
}

func TestOwnedAddressesSurviveACrash(t *testing.T) {
	dir := runDir(t.TempDir())
	if got, err := dir.ownedAddresses(); err != nil || got != nil {
		t.Fatalf("a new run directory has %v (%v)", got, err)
	}
	want := []ownedAddress{{"eth0", netip.MustParsePrefix("192.0.2.10/24")}, {"eth0", netip.MustParsePrefix("2001:db8::10/128")}}
	if err := dir.writeOwnedAddresses(want); err != nil {
		t.Fatal(err)
	}
	got, err := dir.ownedAddresses()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(filepath.Join(string(dir), addressesFile), []byte("{half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.ownedAddresses(); err == nil || !strings.Contains(err.Error(), addressesFile) {
		t.Errorf("a damaged list gives %v, want an error that names the file", err)
	}
	if err := errors.Join(dir.writePID(7), dir.removePID()); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(string(dir)); len(left) != 1 {
		t.Errorf("with the process id the run directory lost the addresses: %v", left)
	}
	if err := dir.writeOwnedAddresses(nil); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(string(dir)); len(left) != 0 {
		t.Errorf("%v is left in the run directory", left)
	}
}

// TestOtherKeepalived looks through a made-up /proc.
func TestOtherKeepalived(t *testing.T) {
	proc := t.TempDir()
	add := func(pid, comm, ns string, parent int) {
		dir := filepath.Join(proc, pid)
		if err := os.MkdirAll(filepath.Join(dir, "ns"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(
			os.WriteFile(filepath.Join(dir, "stat"), fmt.Appendf(nil, "%s (%s) S %d 1 1 0\n", pid, comm, parent), 0o644),
			os.Symlink("net:["+ns+"]", filepath.Join(dir, "ns", "net")),
		); err != nil {
			t.Fatal(err)
		}
	}
	add("self", "uvs", "1", 1)
	add("10", "keepalived", "2", 1)
	add("11", "keepalived_x", "1", 1)
	add("13", ") S (keepalived", "1", 1)
	if pid, err := otherKeepalived(proc); pid != 0 || err != nil {
		t.Errorf("found keepalived %d (%v), want none in this namespace", pid, err)
	}
	add("20", "keepalived", "1", 9)
	add("9", "keepalived", "1", 1)
	add("21", "keepalived", "1", 9)
	if pid, err := otherKeepalived(proc); pid != 9 || err != nil {
		t.Errorf("found keepalived %d (%v), want the parent, 9", pid, err)
	}
}

func TestUndoRunsBackwardsAndKeepsErrors(t *testing.T) {
	var undo undoList
	var order []string
	broken := errors.New("broken")
	for i := range 3 {
		undo.add(func() error {
			order = append(order, strconv.Itoa(i))
			if i == 1 {
				return broken
			}
			return nil
		})
	}
	if err := undo.run(); !errors.Is(err, broken) {
		t.Errorf("undo returned %v, want %v", err, broken)
	}
	if got := strings.Join(order, ""); got != "210" {
		t.Errorf("undone in the order %s, want 210", got)
	}
}

func TestDescribeListsWhatWouldRun(t *testing.T) {
	p := testPlan()
	_, services := p.describe()
	var got []string
	for _, r := range services[0].Servers {
		got = append(got, fmt.Sprintf("%s:%d %s %d %s", r.Address, r.Port, r.Method, r.Weight, r.Checks[0].Kind))
	}
	want := []string{"198.51.100.12:80 nat 2 TCP_CHECK", "198.51.100.11:80 nat 1 TCP_CHECK"}
	if diff := cmp.Diff(want, got); diff != "" || services[0].Protocol != control.TCP {
		t.Errorf("%s %s", services[0].Protocol, diff)
	}
}
