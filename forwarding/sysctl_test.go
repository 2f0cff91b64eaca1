package forwarding_test

import (
	"strings"
	"testing"

	"uvs/conntrack"
	"uvs/forwarding"
)

// TestSysctls compares names and defaults with the kernel's list.
func TestSysctls(t *testing.T) {
	const kernel = `am_droprate=10 amemthresh=1024 backup_only=0 cache_bypass=0 conn_reuse_mode=1 conntrack=0 drop_entry=0 drop_packet=0
		expire_nodest_conn=0 expire_quiescent_template=0 ignore_tunneled=0 lblc_expiration=86400 lblcr_expiration=86400 nat_icmp_send=0 pmtu_disc=1 run_estimation=1
		schedule_icmp=0 secure_tcp=0 sloppy_sctp=0 sloppy_tcp=0 snat_reroute=1 sync_persist_mode=0 sync_ports=1 sync_qlen_max=0
		sync_refresh_period=0 sync_retries=0 sync_sock_size=0 sync_threshold=3,50 sync_version=1`
	s := forwarding.DefaultSysctls()
	var got []string
	for _, x := range s.List() {
		if x.Value != x.Default {
			t.Errorf("%s is %q, by default %q", x.Name, x.Value, x.Default)
		}
		got = append(got, x.Name+"="+strings.ReplaceAll(x.Value, "\t", ","))
	}
	if want := strings.Join(strings.Fields(kernel), " "); strings.Join(got, " ") != want {
		t.Errorf("settings\n%s\nwant\n%s", strings.Join(got, " "), want)
	}
}

func TestSysctlsSet(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		want        string // value then, or a part of the error behind "!"
	}{
		{"sloppy_tcp", "1", "1"},
		{"net.ipv4.vs.sloppy_tcp", "1", "1"},
		{"sloppy_tcp", " 1\n", "1"},
		{"sloppy_tcp", "2", `!net.ipv4.vs.sloppy_tcp: "2" is not a whole number from 0 to 1`},
		{"sloppy_tcp", "yes", "!from 0 to 1"},
		{"sloppy_tcp", "", "!from 0 to 1"},
		{"conn_reuse_mode", "3", "3"},
		{"conn_reuse_mode", "0", "0"},
		{"conn_reuse_mode", "4", "!from 0 to 3"},
		{"drop_entry", "-1", "!from 0 to 3"},
		{"sync_ports", "64", "64"},
		{"sync_ports", "3", "!power of two"},
		{"sync_ports", "0", "!from 1 to 64"},
		{"sync_threshold", "0 0", "0\t0"},
		{"sync_threshold", "2 100", "2\t100"},
		{"sync_threshold", "50 50", "!two whole numbers"},
		{"sync_threshold", "3", "!two whole numbers"},
		{"sync_threshold", "3 50 1", "!two whole numbers"},
		{"sync_threshold", "-1 50", "!two whole numbers"},
		{"amemthresh", "2147483647", "2147483647"},
		{"amemthresh", "2147483648", "!from 0 to 2147483647"},
		{"sloppy", "1", "!no setting net.ipv4.vs.sloppy (have: am_droprate, amemthresh"},
	} {
		s := forwarding.DefaultSysctls()
		err := s.Set(tt.name, tt.value)
		if part, bad := strings.CutPrefix(tt.want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s=%q: error %v, want one with %q", tt.name, tt.value, err, part)
			}
			if s != forwarding.DefaultSysctls() {
				t.Errorf("%s=%q was refused and changed something", tt.name, tt.value)
			}
			continue
		}
		if got, ok := s.Get(tt.name); err != nil || !ok || got != tt.want {
			t.Errorf("%s=%q: is %q, %v, error %v", tt.name, tt.value, got, ok, err)
		}
	}
	s := forwarding.DefaultSysctls()
	if _, ok := s.Get("sloppy"); ok {
		t.Error("Get finds a setting that is none")
	}
}

// TestSysctlsSetEach sets every setting to something else and finds exactly it changed.
func TestSysctlsSetEach(t *testing.T) {
	standard := forwarding.DefaultSysctls()
	for _, x := range standard.List() {
		s := forwarding.DefaultSysctls()
		value := map[string]string{"0": "1", "1": "0", "10": "11", "1024": "2048", "86400": "3600", "3\t50": "4\t60"}[x.Value]
		if x.Name == "sync_ports" {
			value = "2"
		}
		if err := s.Set(x.Name, value); err != nil {
			t.Fatal(err)
		}
		for _, y := range s.List() {
			if want := y.Default; y.Name == x.Name && y.Value != value || y.Name != x.Name && y.Value != want {
				t.Errorf("after %s=%s, %s is %q", x.Name, value, y.Name, y.Value)
			}
		}
	}
}

func TestEngineSysctls(t *testing.T) {
	e, err := forwarding.New(forwarding.Config{Workers: 1, Flows: conntrack.Config{MaxFlows: 10}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if e.Sysctls() != forwarding.DefaultSysctls() {
		t.Error("an engine does not begin with the kernel's settings")
	}
	s := forwarding.DefaultSysctls()
	s.SloppyTCP = true
	e.SetSysctls(s)
	if e.Sysctls() != s {
		t.Error("settings did not arrive")
	}
}

// TestSysctlsServed: what has its effect, and that all else says why not.
func TestSysctlsServed(t *testing.T) {
	s := forwarding.DefaultSysctls()
	var served []string
	for _, x := range s.List() {
		if x.Unserved == "" {
			served = append(served, x.Name)
		}
	}
	if got, want := strings.Join(served, " "), "am_droprate amemthresh backup_only conn_reuse_mode drop_entry drop_packet expire_nodest_conn expire_quiescent_template lblc_expiration lblcr_expiration nat_icmp_send pmtu_disc run_estimation schedule_icmp secure_tcp sloppy_sctp sloppy_tcp"; got != want {
		t.Errorf("served are %s, want %s", got, want)
	}
}

// FuzzSysctl: what is refused changes nothing, and what is taken reads back as a value that
// is taken again.
func FuzzSysctl(f *testing.F) {
	f.Add("sloppy_tcp", "1")
	f.Add("net.ipv4.vs.sync_threshold", "3 50")
	f.Add("sync_ports", " 8\n")
	f.Add("conn_reuse_mode", "-1")
	f.Fuzz(func(t *testing.T, name, value string) {
		before := forwarding.DefaultSysctls()
		s := before
		if err := s.Set(name, value); err != nil {
			if s != before {
				t.Errorf("%q=%q was refused and changed %+v to %+v", name, value, before, s)
			}
			return
		}
		again, ok := s.Get(name)
		if !ok {
			t.Fatalf("%q was set and is not known", name)
		}
		second := before
		if err := second.Set(name, again); err != nil || second != s {
			t.Errorf("%q=%q reads back as %q: %+v, not %+v (%v)", name, value, again, second, s, err)
		}
	})
}
