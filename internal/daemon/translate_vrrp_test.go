package daemon

import (
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"uvs/config"
	"uvs/vrrp"
	"uvs/vrrp/router"
)

// bindVRRP binds a text on a host with any interface.
func bindVRRP(t *testing.T, files fs.FS, name string) *config.Config {
	t.Helper()
	c, findings := config.Load(files, name, config.Options{ConfigID: "main"}, func(*config.File) config.Host { return config.Host{AnyInterface: true} })
	for i := range findings {
		if findings[i].Severity == config.Error && strings.Contains(findings[i].Message, "vrrp_instance") {
			t.Fatalf("the configuration has errors: %v", findings)
		}
	}
	return c
}

// TestTranslateVRRPConfigurations holds what the Machine gets from each acceptance
// configuration by golden files.
func TestTranslateVRRPConfigurations(t *testing.T) {
	files := os.DirFS("../../config/testdata/keepalived")
	names, err := fs.Glob(files, "*.conf")
	if err != nil || len(names) == 0 {
		t.Fatalf("no configurations to translate: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(name, ".conf"), func(t *testing.T) {
			c := bindVRRP(t, files, name)
			golden := filepath.Join("testdata/instances", strings.TrimSuffix(name, ".conf")+".golden")
			spec, ends, notes := translateVRRP(c)
			if len(spec.Instances) != len(c.Instances) || len(spec.Groups) != len(c.SyncGroups) {
				t.Errorf("%d instances and %d groups of %d and %d are translated", len(spec.Instances), len(spec.Groups), len(c.Instances), len(c.SyncGroups))
			}
			if len(c.Instances) == 0 {
				return
			}
			got := dumpInstances(spec, ends, notes)
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
				t.Errorf("instances differ (-want +got):\n%s", diff)
			}
		})
	}
}

// dumpInstances writes all of a Spec and its Endpoints.
func dumpInstances(spec vrrp.Spec, ends []router.Endpoint, notes []string) string {
	var b strings.Builder
	for _, n := range notes {
		fmt.Fprintln(&b, n)
	}
	if spec.StartupDelay != 0 || spec.HoldPreempt {
		fmt.Fprintf(&b, "startup delay %s, hold %t\n", spec.StartupDelay, spec.HoldPreempt)
	}
	for n, i := range spec.Instances {
		fmt.Fprintf(&b, "instance %s: version %d, IPv6 %t, on %q, VRID %d, priority %d, every %s, down after %d\n",
			i.Name, i.Version, i.IPv6, i.Interface, i.VRID, i.Priority, i.AdvertInterval, i.DownTimerAdverts)
		fmt.Fprintf(&b, "  nopreempt %t, preempt delay %s, auth %s %q, checksum %d, notify priority %t\n",
			i.NoPreempt, i.PreemptDelay, i.Auth, strings.TrimRight(string(i.Password[:]), "\x00"), i.Checksum, i.NotifyPriority)
		fmt.Fprintf(&b, "  check peers %t, skip addresses %t, owner ignores %t, lower unanswered %t, higher answered %t, expired %d\n",
			i.CheckPeers, i.SkipAddressCheck, i.OwnerIgnoresAdverts, i.LowerPrioNoAdvert, i.HigherPrioSendAdvert, i.TimerExpiredBackup)
		fmt.Fprintf(&b, "  announce %+v\n  addresses %v\n", i.Announce, i.Addresses)
		for _, p := range i.Peers {
			fmt.Fprintf(&b, "  peer %s TTL %d to %d\n", p.Addr, p.MinTTL, p.MaxTTL)
		}
		dumpTracked(&b, i.Track)
		for _, f := range i.Faults {
			fmt.Fprintf(&b, "  fault %s\n", f)
		}
		fmt.Fprintf(&b, "  end %+v\n", ends[n])
	}
	for _, g := range spec.Groups {
		fmt.Fprintf(&b, "group %s: %s\n", g.Name, strings.Join(g.Members, " "))
		dumpTracked(&b, g.Track)
	}
	return b.String()
}

func dumpTracked(b *strings.Builder, list []vrrp.Tracked) {
	for _, t := range list {
		fmt.Fprintf(b, "  track %s %s weight %d reverse %t\n", t.Object.Kind, t.Object.Name, t.Weight, t.Reverse)
	}
}

// oneInstance is a file with one vrrp_instance, and what stands before it.
func oneInstance(before, body string) fs.FS {
	return fstest.MapFS{"a.conf": &fstest.MapFile{
		Data: []byte(before + "\nvrrp_instance A {\n interface eth0\n virtual_router_id 7\n" + body + "\n}\n"),
	}}
}

const vips = "virtual_ipaddress {\n 192.0.2.80\n}"

// TestTranslateVRRPWords holds what single words become.
func TestTranslateVRRPWords(t *testing.T) {
	addr := netip.MustParseAddr
	type want struct {
		instance func(*vrrp.Instance) any
		end      func(*router.Endpoint) any
		value    any
	}
	peers := func(i *vrrp.Instance) any { return i.Peers }
	for name, x := range map[string]struct {
		before, body string
		want         []want
	}{
		"multicast": {body: vips + "\nunicast_ttl 9", want: []want{
			{end: func(e *router.Endpoint) any { return e.Group }, value: addr("224.0.0.18")},
			{end: func(e *router.Endpoint) any { return e.TTL }, value: 255},
			{instance: peers, value: []vrrp.Peer(nil)},
		}},
		"another group": {body: vips + "\nmcast_dst_ip 224.0.0.81", want: []want{
			{end: func(e *router.Endpoint) any { return e.Group }, value: addr("224.0.0.81")},
		}},
		"IPv6": {body: "virtual_ipaddress {\n fe80::80/64\n 2001:db8::80/64\n}", want: []want{
			{instance: func(i *vrrp.Instance) any { return i.IPv6 && i.Version == 3 }, value: true},
			{instance: func(i *vrrp.Instance) any { return i.Addresses }, value: []netip.Addr{addr("fe80::80"), addr("2001:db8::80")}},
			{end: func(e *router.Endpoint) any { return e.IPv6 }, value: true},
			{end: func(e *router.Endpoint) any { return e.Group }, value: addr("ff02::12")},
		}},
		"unicast": {body: "unicast_src_ip 192.0.2.1\nunicast_peer {\n 192.0.2.2\n 192.0.2.3\n}\nunicast_ttl 9\n" + vips, want: []want{
			{end: func(e *router.Endpoint) any { return *e }, value: router.Endpoint{
				Instance: "A", VRID: 7, Peers: []netip.Addr{addr("192.0.2.2"), addr("192.0.2.3")}, TTL: 9,
			}},
			{instance: peers, value: []vrrp.Peer{{Addr: addr("192.0.2.2"), MaxTTL: 255}, {Addr: addr("192.0.2.3"), MaxTTL: 255}}},
			{instance: func(i *vrrp.Instance) any { return i.CheckPeers }, value: false},
		}},
		"unicast of IPv6": {body: "unicast_peer {\n fe80::2\n}\nvirtual_ipaddress {\n fe80::80/64\n}", want: []want{
			{end: func(e *router.Endpoint) any { return *e }, value: router.Endpoint{Instance: "A", VRID: 7, IPv6: true, Peers: []netip.Addr{addr("fe80::2")}, TTL: -1}},
		}},
		"least TTL alone": {body: "unicast_peer {\n 192.0.2.2 min_ttl 250\n}\n" + vips, want: []want{
			{instance: peers, value: []vrrp.Peer{{Addr: addr("192.0.2.2"), MinTTL: 250, MaxTTL: 255}}},
			{instance: func(i *vrrp.Instance) any { return i.CheckPeers }, value: true},
		}},
		"largest TTL alone": {body: "unicast_peer {\n 192.0.2.2 max_ttl 64\n}\n" + vips, want: []want{
			{instance: peers, value: []vrrp.Peer{{Addr: addr("192.0.2.2"), MaxTTL: 64}}},
			{instance: func(i *vrrp.Instance) any { return i.CheckPeers }, value: true},
		}},
		"AH": {body: "authentication {\n auth_type AH\n auth_pass secret\n}\n" + vips, want: []want{
			{end: func(e *router.Endpoint) any { return e.AH }, value: true},
			{instance: func(i *vrrp.Instance) any { return i.Auth }, value: vrrp.AuthAH},
			{instance: func(i *vrrp.Instance) any { return string(i.Password[:6]) }, value: "secret"},
		}},
		"PASS": {body: "authentication {\n auth_type PASS\n auth_pass 123456789\n}\n" + vips, want: []want{
			{end: func(e *router.Endpoint) any { return e.AH }, value: false},
			{instance: func(i *vrrp.Instance) any { return i.Auth }, value: vrrp.AuthPass},
			{instance: func(i *vrrp.Instance) any { return string(i.Password[:]) }, value: "12345678"},
		}},
		"version 3": {body: "version 3\nadvert_int 0.25\n" + vips, want: []want{
			{instance: func(i *vrrp.Instance) any { return i.Version }, value: uint8(3)},
			{instance: func(i *vrrp.Instance) any { return i.AdvertInterval.String() }, value: "250ms"},
			{instance: func(i *vrrp.Instance) any { return i.Checksum }, value: vrrp.ChecksumAuto},
		}},
		"old checksum": {body: "version 3\nold_unicast_checksum\nunicast_peer {\n 192.0.2.2\n}\n" + vips, want: []want{
			{instance: func(i *vrrp.Instance) any { return i.Checksum }, value: vrrp.ChecksumOld},
		}},
		"never the old checksum": {body: "version 3\nold_unicast_checksum never\nunicast_peer {\n 192.0.2.2\n}\n" + vips, want: []want{
			{instance: func(i *vrrp.Instance) any { return i.Checksum }, value: vrrp.ChecksumNever},
		}},
		"checksum of version 2": {body: "version 3\nv3_checksum_as_v2\n" + vips, want: []want{
			{instance: func(i *vrrp.Instance) any { return i.Checksum }, value: vrrp.ChecksumAsV2},
		}},
		"unicast without peers": {body: "unicast_fault_no_peer\n" + vips, want: []want{
			{instance: func(i *vrrp.Instance) any { return i.Faults }, value: []string{"it has no unicast_peer"}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			spec, ends, notes := translateVRRP(bindVRRP(t, oneInstance(x.before, x.body), "a.conf"))
			if len(spec.Instances) != 1 || len(ends) != 1 || len(notes) > 0 {
				t.Fatalf("got %d instances, %d ends, notes %v", len(spec.Instances), len(ends), notes)
			}
			for n, w := range x.want {
				var got any
				if w.instance != nil {
					got = w.instance(&spec.Instances[0])
				} else {
					got = w.end(&ends[0])
				}
				if diff := cmp.Diff(w.value, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
					t.Errorf("value %d differs (-want +got):\n%s", n, diff)
				}
			}
		})
	}
}

// TestTranslateVRRPTracking holds which interfaces an instance follows, with the outcomes
// that keepalived 2.2.7 had on such files with the interfaces down.
func TestTranslateVRRPTracking(t *testing.T) {
	const mine = " source address A"
	for name, x := range map[string]struct {
		before, body string
		want         []string
	}{
		"its own":                         {body: vips, want: []string{mine, "interface eth0"}},
		"not its own":                     {body: "dont_track_primary\n" + vips, want: []string{mine}},
		"not its own with dev":            {body: "dont_track_primary\nvirtual_ipaddress {\n 192.0.2.80 dev eth0\n}", want: []string{mine}},
		"another's address":               {body: "virtual_ipaddress {\n 192.0.2.80 dev eth1\n}", want: []string{mine, "interface eth0", "interface eth1"}},
		"another's address with no_track": {body: "virtual_ipaddress {\n 192.0.2.80 dev eth1 no_track\n}", want: []string{mine, "interface eth0"}},
		"excluded address":                {body: vips + "\nvirtual_ipaddress_excluded {\n 192.0.2.81 dev eth1\n}", want: []string{mine, "interface eth0", "interface eth1"}},
		"route":                           {body: vips + "\nvirtual_routes {\n 10.0.0.0/8 dev eth1\n}", want: []string{mine, "interface eth0", "interface eth1"}},
		"route with no_track":             {body: vips + "\nvirtual_routes {\n 10.0.0.0/8 dev eth1 no_track\n}", want: []string{mine, "interface eth0"}},
		"multipath route": {
			body: vips + "\nvirtual_routes {\n 10.0.0.0/8 nexthop via 192.0.2.2 dev eth1 nexthop via 192.0.2.3 dev eth2\n}",
			want: []string{mine, "interface eth0"},
		},
		"rule by where packets come from": {body: vips + "\nvirtual_rules {\n from 10.0.0.0/8 iif eth1 table 100 priority 9\n}", want: []string{mine, "interface eth0", "interface eth1"}},
		"rule by where packets go to":     {body: vips + "\nvirtual_rules {\n from 10.0.0.0/8 oif eth1 table 100 priority 9\n}", want: []string{mine, "interface eth0", "interface eth1"}},
		"an address counts for more than a weight": {
			body: "track_interface {\n eth1 weight -10\n}\nvirtual_ipaddress {\n 192.0.2.80 dev eth1\n}",
			want: []string{"interface eth1", mine, "interface eth0"},
		},
		"weights": {
			body: "track_interface {\n eth1 weight -10\n eth2 weight 5 reverse\n}\n" + vips,
			want: []string{"interface eth1 -10", "interface eth2 5 reverse", mine, "interface eth0"},
		},
		"static ones of its group": {
			before: "track_group G {\n group {\n  A\n }\n}\nstatic_ipaddress {\n 192.0.2.9 dev eth1 track_group G\n 192.0.2.10 dev eth2\n}\nstatic_routes {\n 10.0.0.0/8 dev eth3 track_group G\n}",
			body:   vips, want: []string{mine, "interface eth0", "interface eth1", "interface eth3"},
		},
		"static ones of another's group": {
			before: "track_group G {\n group {\n  B\n }\n}\nstatic_ipaddress {\n 192.0.2.9 dev eth1 track_group G\n}\nvrrp_instance B {\n interface eth0\n virtual_router_id 8\n" + vips + "\n}",
			body:   vips, want: []string{mine, "interface eth0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			spec, _, notes := translateVRRP(bindVRRP(t, oneInstance(x.before, x.body), "a.conf"))
			if len(notes) > 0 {
				t.Errorf("notes: %v", notes)
			}
			var got []string
			for _, f := range spec.Instances[len(spec.Instances)-1].Track {
				line := fmt.Sprintf("%s %s", f.Object.Kind, f.Object.Name)
				if f.Object.Kind == vrrp.KindSource {
					line = " " + line
				}
				if f.Weight != 0 {
					line += fmt.Sprintf(" %d", f.Weight)
				}
				if f.Reverse {
					line += " reverse"
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(x.want, got); diff != "" {
				t.Errorf("tracked differs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTranslateVRRPNotes holds that what the Machine cannot do is named.
func TestTranslateVRRPNotes(t *testing.T) {
	key := strings.Repeat("k", 32)
	group := "vrrp_sync_group G {\n group {\n  A\n  B\n }\n}\nvrrp_instance B {\n interface eth1\n virtual_router_id 8\n" + vips + "\n}"
	for name, x := range map[string]struct {
		before, body string
		instances    []string
		members      []string
		notes        []string
	}{
		"virtual MAC":                      {body: "use_vmac\n" + vips, instances: []string{"A"}},
		"virtual MAC for other interfaces": {body: "use_vmac\nuse_vmac_addr\n" + vips, instances: []string{"A"}},
		"no_accept":                        {body: "no_accept\n" + vips, instances: []string{"A"}},
		"ipvlan":                           {body: "use_ipvlan iv7 192.0.2.7/24 bridge\n" + vips, instances: []string{"A"}},
		"HMAC": {before: group, body: "version 3\nauth_hmac {\n key 1 " + key + "\n active_key 1\n}\n" + vips, instances: []string{"B"}, members: []string{"B"},
			notes: []string{"vrrp_instance A is not run: auth_hmac is not served yet", "vrrp_sync_group G is run without vrrp_instance A"}},
		"BFD":     {before: "bfd_instance up {\n neighbor_ip 192.0.2.9\n source_ip 192.0.2.8\n}", body: "track_bfd {\n up\n}\n" + vips, instances: []string{"A"}},
		"nothing": {before: group, body: vips, instances: []string{"B", "A"}, members: []string{"A", "B"}},
	} {
		t.Run(name, func(t *testing.T) {
			spec, ends, notes := translateVRRP(bindVRRP(t, oneInstance(x.before, x.body), "a.conf"))
			var instances, of, members []string
			for n, i := range spec.Instances {
				instances, of = append(instances, i.Name), append(of, ends[n].Instance)
			}
			for _, g := range spec.Groups {
				members = g.Members
			}
			if !slices.Equal(instances, x.instances) || !slices.Equal(of, x.instances) || !slices.Equal(members, x.members) {
				t.Errorf("instances %v, ends of %v, members %v, want %v and %v", instances, of, members, x.instances, x.members)
			}
			if len(notes) != len(x.notes) {
				t.Fatalf("notes are %q, want %q", notes, x.notes)
			}
			for n := range notes {
				if !strings.HasSuffix(notes[n], ": note: "+x.notes[n]) {
					t.Errorf("note is %q, want %q", notes[n], x.notes[n])
				}
			}
		})
	}
}
