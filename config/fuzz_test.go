package config_test

import (
	"io/fs"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"uvs/config"
)

// seeds adds every configuration of testdata.
func seeds(f *testing.F) {
	f.Helper()
	for _, dir := range []string{"testdata/keepalived", "testdata/language"} {
		fsys := os.DirFS(dir)
		for _, pattern := range []string{"*.conf", "bad/*.conf", "sub/*.conf"} {
			names, err := fs.Glob(fsys, pattern)
			if err != nil {
				f.Fatal(err)
			}
			for _, name := range names {
				data, err := fs.ReadFile(fsys, name)
				if err != nil {
					f.Fatal(err)
				}
				f.Add(string(data))
			}
		}
	}
}

// fuzzFiles is a file system whose main file is text, with files to include beside it.
func fuzzFiles(text string) fstest.MapFS {
	return fstest.MapFS{
		"etc/main.conf":  {Data: []byte(text)},
		"etc/a.conf":     {Data: []byte("$A=1\n~SEQ(I, 1, 3) weight $I\ninclude sub/*\n")},
		"etc/sub/b.conf": {Data: []byte("include ../main.conf\n}\n")},
	}
}

// checkDiagnostics holds that findings are sorted and stand inside their files.
func checkDiagnostics(t *testing.T, fsys fs.FS, files []string, diags config.Diagnostics) {
	t.Helper()
	for i, d := range diags {
		if d.Severity < config.Error || d.Severity > config.Note || d.Message == "" {
			t.Errorf("incomplete finding %#v", d)
		}
		data, err := fs.ReadFile(fsys, d.File)
		if err != nil {
			t.Fatalf("%v: %v", d.Error(), err)
		}
		lines := strings.Split(string(data), "\n")
		if d.Line < 0 || d.Line > len(lines) || d.Line > 0 && (d.Column < 1 || d.Column > len(lines[d.Line-1])+1) {
			t.Errorf("%s is outside its file", d.Error())
		}
		if i == 0 {
			continue
		}
		p := diags[i-1]
		a, b := slices.Index(files, p.File), slices.Index(files, d.File)
		if a > b || a == b && (p.Line > d.Line || p.Line == d.Line && p.Column > d.Column) {
			t.Errorf("not sorted: %s before %s", p.Error(), d.Error())
		}
	}
}

var fuzzOptions = config.Options{
	ConfigID:  "main",
	LookupEnv: func(name string) (string, bool) { return name, name != "NOPE" },
	MaxLines:  2000,
}

// FuzzParse holds that no text makes Parse panic or hang, and that its tree and findings stay inside the files.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		fsys := fuzzFiles(text)
		file, diags := config.Parse(fsys, "etc/main.conf", fuzzOptions)
		checkDiagnostics(t, fsys, file.Files, diags)
		if n := count(file.Statements); n > 2000*1100 {
			t.Errorf("%d statements of at most 2000 lines", n)
		}
	})
}

func count(ss []*config.Statement) int {
	n := len(ss)
	for _, s := range ss {
		if s.Block != nil {
			n += count(s.Block.Statements)
		}
	}
	return n
}

// FuzzBind holds that whatever was parsed binds without panic, and that the model keeps its promises.
func FuzzBind(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		fsys := fuzzFiles(text)
		file, _ := config.Parse(fsys, "etc/main.conf", fuzzOptions)
		c, diags := config.Bind(file, site)
		checkDiagnostics(t, fsys, file.Files, diags)
		for i := range c.VirtualServers {
			checkService(t, &c.VirtualServers[i])
		}
		for _, i := range c.Instances {
			unbound := i.Interface == "" && (len(i.Send.Peers) == 0 || !i.Send.Source.IsValid() || i.Send.Source.IsLinkLocalUnicast() || i.MAC != nil)
			if i.VRID == 0 || i.Priority == 0 || unbound || i.AdvertInterval <= 0 {
				t.Errorf("an instance that cannot run: %+v", i)
			}
			for _, a := range append(slices.Clone(i.Addresses), i.Excluded...) {
				if !a.Prefix.IsValid() || a.Device == "" {
					t.Errorf("an address that cannot be set: %+v", a)
				}
			}
		}
	})
}

func checkService(t *testing.T, v *config.VirtualServer) {
	t.Helper()
	marked := v.Fwmark != 0
	if v.Addr.IsValid() == marked || marked != (v.Protocol == 0) || len(v.RealServers) == 0 || v.Method == 0 {
		t.Errorf("a service that cannot run: %+v", v)
	}
	if !marked && v.IPv6 != v.Addr.Addr().Is6() {
		t.Errorf("the family of %+v", v)
	}
	if !marked && v.Addr.Port() == 0 && v.PersistenceTimeout == 0 {
		t.Errorf("all ports without persistence: %+v", v)
	}
	if v.OnePacket && v.Protocol != config.UDP && !marked || v.PersistenceTimeout < 0 || v.PersistenceTimeout%time.Second != 0 {
		t.Errorf("what IPVS refuses: %+v", v)
	}
	if v.Hysteresis >= max(v.Quorum, 1) || v.Granularity.IsValid() && v.Granularity.Is6() != v.IPv6 {
		t.Errorf("values that do not fit: %+v", v)
	}
	if !slices.Contains(strings.Fields("rr wrr lc wlc lblc lblcr sh dh mh sed nq fo ovf twos"), v.Scheduler) {
		t.Errorf("scheduler %q", v.Scheduler)
	}
	seen := make(map[netip.AddrPort]bool)
	for _, r := range v.RealServers {
		if seen[r.Addr] {
			t.Errorf("a server twice: %+v", r)
		}
		seen[r.Addr] = true
		checkPath(t, v, r.Addr, r.Method, r.Tunnel)
		checkServer(t, v, r)
	}
	if s := v.SorryServer; s != nil {
		checkPath(t, v, s.Addr, s.Method, s.Tunnel)
	}
}

// checkPath holds what all servers have in common.
func checkPath(t *testing.T, v *config.VirtualServer, addr netip.AddrPort, m config.Method, tunnel *config.Tunnel) {
	t.Helper()
	if m == 0 || (m == config.TUN) != (tunnel != nil) || m != config.TUN && addr.Addr().Is6() != v.IPv6 {
		t.Errorf("a server that cannot run: %s by %s %v", addr, m, tunnel)
	}
	if m != config.NAT && addr.Port() != v.Addr.Port() || addr.Port() == 0 && v.Addr.Port() != 0 {
		t.Errorf("port of %s by %s in %s", addr, m, v.Addr)
	}
}

func checkServer(t *testing.T, v *config.VirtualServer, r config.RealServer) {
	t.Helper()
	if r.Weight < 0 {
		t.Errorf("a server that cannot run: %+v", r)
	}
	for _, k := range r.Checkers {
		checkChecker(t, k)
	}
}

func checkChecker(t *testing.T, k config.Checker) {
	t.Helper()
	o := k.Common()
	switch k := k.(type) {
	case config.BFDCheck:
		if k.Name == "" {
			t.Error("BFDCheck without name")
		}
		return
	case config.FileCheck:
		if k.Name == "" {
			t.Error("FileCheck without name")
		}
		return
	case config.MiscCheck:
		if len(k.Command.Args) == 0 || k.Timeout <= 0 {
			t.Errorf("a program that cannot run: %+v", k)
		}
	case config.HTTPGet:
		for _, u := range k.URLs {
			if len(u.Statuses) == 0 {
				t.Errorf("a url that cannot be probed: %+v", u)
			}
			if u.Regex != nil {
				regexp.MustCompile(u.Regex.Expr())
			}
		}
		if len(k.URLs) == 0 {
			t.Error("HTTPGet without url")
		}
	}
	if _, misc := k.(config.MiscCheck); !misc && (!o.Connect.IsValid() || o.ConnectTimeout <= 0) || o.DelayLoop <= 0 || o.DelayBeforeRetry < 0 || o.Warmup < 0 {
		t.Errorf("a check that cannot run: %+v", o)
	}
}
