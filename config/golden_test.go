package config_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"uvs/config"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// site is the host that the acceptance configurations are written for.
var site = config.Host{
	Interfaces: []string{"lo", "eth0", "eth1", "eth2", "bond0.2", "bond0.10", "ens3"},
	Users:      []string{"root", "nobody"},
	Groups:     []string{"root", "nogroup"},
	Programs:   map[string]config.Program{"/bin/true": {}, "/usr/local/bin/does-not-exist.sh": {Missing: true}},
}

func onSite(*config.File) config.Host  { return site }
func anyHost(*config.File) config.Host { return config.Host{AnyInterface: true} }

// TestKeepalivedConfigurations loads every acceptance configuration and compares findings and model with its golden
// file.
func TestKeepalivedConfigurations(t *testing.T) {
	fsys := os.DirFS("testdata/keepalived")
	for _, name := range configurations(t, fsys, "*.conf", "bad/*.conf") {
		t.Run(name, func(t *testing.T) {
			c, diags := config.Load(fsys, name, config.Options{ConfigID: "main"}, onSite)
			compare(t, filepath.Join("testdata/golden", name), describe(c, diags))
			if !strings.HasPrefix(name, "bad/") && diags.HasErrors() {
				t.Errorf("a valid file has errors: %v", diags)
			}
		})
	}
}

// TestLanguage does the same for our own cases, one rule of the language each.
func TestLanguage(t *testing.T) {
	fsys := os.DirFS("testdata/language")
	for _, name := range configurations(t, fsys, "*.conf") {
		t.Run(name, func(t *testing.T) {
			env := map[string]string{"VIP": "192.0.2.80"}
			c, diags := config.Load(fsys, name, config.Options{
				ConfigID:  "main",
				LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
				MaxLines:  2000,
			}, onSite)
			compare(t, filepath.Join("testdata/language", name), describe(c, diags))
		})
	}
}

func configurations(t *testing.T, fsys fs.FS, patterns ...string) (names []string) {
	t.Helper()
	for _, p := range patterns {
		found, err := fs.Glob(fsys, p)
		if err != nil || len(found) == 0 {
			t.Fatalf("no file matches %s (%v)", p, err)
		}
		names = append(names, found...)
	}
	return names
}

// compare checks got against file with the ending .golden.
func compare(t *testing.T, file, got string) {
	t.Helper()
	file = strings.TrimSuffix(file, path.Ext(file)) + ".golden"
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs.\ngot:\n%s\nwant:\n%s", file, got, want)
	}
}

// describe writes findings and model as text.
func describe(c *config.Config, diags config.Diagnostics) string {
	var b strings.Builder
	for i := range diags {
		fatal := ""
		if diags[i].Fatal {
			fatal = " [fatal]"
		}
		fmt.Fprintf(&b, "%s%s\n", diags[i].Error(), fatal)
	}
	fmt.Fprintf(&b, "---\nrouter_id %q\n", c.RouterID)
	describeGlobal(&b, &c.Global)
	describeVRRP(&b, c)
	for i := range c.VirtualServers {
		describeService(&b, &c.VirtualServers[i])
	}
	return b.String()
}

// describeGlobal writes what global_defs says; what is unset or usual is left out.
func describeGlobal(b *strings.Builder, g *config.Global) {
	if m := g.Mail; m.Server != "" || len(m.To) > 0 {
		fmt.Fprintf(b, "mail to %q from %q by %s port %d within %s", m.To, m.From, m.Server, m.Port, m.Timeout)
		item(b, "helo", m.Helo, m.Helo != "")
		item(b, "without faults", "", m.NoFaults)
		item(b, "without checkers", "", m.NoCheckers)
		b.WriteString("\n")
	}
	if g.Timeouts != (config.Timeouts{}) {
		fmt.Fprintf(b, "timeouts %v\n", g.Timeouts)
	}
	if s := g.Sync; s != nil {
		fmt.Fprintf(b, "sync line %d: dev %s instance %q id %d %t maxlen %d port %d ttl %d group %s\n",
			s.Pos.Line, s.Interface, s.Instance, s.ID, s.HasID, s.MaxLen, s.Port, s.TTL, s.Group)
	}
	if g.Flush || g.FlushOnStop {
		fmt.Fprintf(b, "flush %t, on stop %t, services alone %t\n", g.Flush, g.FlushOnStop, g.FlushServices)
	}
	if c := g.Startup; c != nil {
		fmt.Fprintf(b, "startup %q within %s\n", c.Args, g.StartupTimeout)
	}
	if c := g.Shutdown; c != nil {
		fmt.Fprintf(b, "shutdown %q within %s\n", c.Args, g.ShutdownTimeout)
	}
	for _, f := range []struct {
		of string
		config.FIFO
	}{{"everything", g.FIFO}, {"VRRP", g.VRRPFIFO}, {"servers", g.ServerFIFO}} {
		if f.Path == "" && f.Script == nil {
			continue
		}
		fmt.Fprintf(b, "fifo of %s line %d: %s", f.of, f.Pos.Line, f.Path)
		item(b, "by", f.User, f.User != "")
		item(b, "of", f.Group, f.Group != "")
		describeCommand(b, "script", f.Script)
		b.WriteString("\n")
	}
	if s := g.Scripts; s != (config.Scripts{}) {
		fmt.Fprintf(b, "scripts secure %t, by %q of %q\n", s.Secure, s.User, s.Group)
	}
	if v := g.VRRP; v != (config.VRRP{MACPrefix: "vrrp", AddressMACPrefix: "vrrp"}) {
		fmt.Fprintf(b, "vrrp %+v\n", v)
	}
	if g.NotifyInitial {
		b.WriteString("notify initial\n")
	}
	if g.LogAllFailures {
		b.WriteString("log all failures\n")
	}
}

// describeService writes a service; what is unset is left out.
func describeService(b *strings.Builder, v *config.VirtualServer) {
	name := v.Addr.String()
	if v.Fwmark != 0 {
		name = fmt.Sprintf("fwmark %d IPv6 %t", v.Fwmark, v.IPv6)
	}
	fmt.Fprintf(b, "virtual_server %s %s line %d: %s", name, v.Protocol, v.Pos.Line, v.Scheduler)
	describeMethod(b, v.Method, v.Tunnel)
	item(b, "group", v.Group, v.Group != "")
	item(b, "flags", v.Flags, v.Flags != 0)
	item(b, "ops", "", v.OnePacket)
	item(b, "persistent", v.PersistenceTimeout, v.PersistenceTimeout != 0)
	item(b, "mask", v.Granularity, v.Granularity.IsValid())
	item(b, "engine", v.PersistenceEngine, v.PersistenceEngine != "")
	item(b, "quorum", v.Quorum, v.Quorum != 1)
	item(b, "hysteresis", v.Hysteresis, v.Hysteresis != 0)
	item(b, "alpha", "", v.Alpha)
	item(b, "omega", "", v.Omega)
	item(b, "ha_suspend", "", v.HASuspend)
	item(b, "mail", "", v.Mail)
	describeCommand(b, "up", v.QuorumUp)
	describeCommand(b, "down", v.QuorumDown)
	b.WriteString("\n")
	if s := v.SorryServer; s != nil {
		fmt.Fprintf(b, "  sorry_server %s line %d:", s.Addr, s.Pos.Line)
		describeMethod(b, s.Method, s.Tunnel)
		fmt.Fprintf(b, ", inhibit %t\n", s.Inhibit)
	}
	for _, r := range v.RealServers {
		fmt.Fprintf(b, "  real_server %s line %d:", r.Addr, r.Pos.Line)
		describeMethod(b, r.Method, r.Tunnel)
		fmt.Fprintf(b, ", weight %d, inhibit %t", r.Weight, r.InhibitOnFailure)
		item(b, "upper", r.UpperThreshold, r.UpperThreshold != 0)
		item(b, "lower", r.LowerThreshold, r.LowerThreshold != 0)
		item(b, "alpha", "", r.Alpha)
		item(b, "no mail", "", !r.Mail)
		describeCommand(b, "up", r.NotifyUp)
		describeCommand(b, "down", r.NotifyDown)
		b.WriteString("\n")
		for _, k := range r.Checkers {
			describeChecker(b, k)
		}
	}
}

func item(b *strings.Builder, name string, value any, set bool) {
	if set {
		b.WriteString(strings.TrimRight(fmt.Sprintf(", %s %v", name, value), " "))
	}
}

func describeMethod(b *strings.Builder, m config.Method, t *config.Tunnel) {
	fmt.Fprintf(b, " %s", m)
	if t != nil {
		fmt.Fprintf(b, " %s %d %s", t.Type, t.Port, t.Checksum)
	}
}

func describeCommand(b *strings.Builder, name string, c *config.Command) {
	if c != nil {
		fmt.Fprintf(b, ", %s %q", name, c.Args)
		item(b, "by", c.User, c.User != "")
		item(b, "of", c.Group, c.Group != "")
	}
}

func describeChecker(b *strings.Builder, k config.Checker) {
	o := k.Common()
	fmt.Fprintf(b, "    %s line %d: to %s", k.Keyword(), o.Pos.Line, o.Connect)
	if o.BindAddr.IsValid() || o.BindPort != 0 || o.BindInterface != "" {
		fmt.Fprintf(b, " from %s port %d dev %q", o.BindAddr, o.BindPort, o.BindInterface)
	}
	item(b, "mark", o.Fwmark, o.Fwmark != 0)
	fmt.Fprintf(b, ", timeout %s, every %s, retry %d after %s, warmup %s, alpha %t", o.ConnectTimeout, o.DelayLoop, o.Retry, o.DelayBeforeRetry, o.Warmup, o.Alpha)
	item(b, "warmup given", "", o.WarmupGiven)
	item(b, "log all", "", o.LogAllFailures)
	switch k := k.(type) {
	case config.SMTPCheck:
		fmt.Fprintf(b, ", helo %s", k.HeloName)
	case config.DNSCheck:
		fmt.Fprintf(b, ", %s %s", k.Type, k.Name)
	case config.UDPCheck:
		fmt.Fprintf(b, ", send %x, reply %t %d-%d %x mask %x", k.Payload, k.RequireReply, k.MinReply, k.MaxReply, k.Reply, k.ReplyMask)
	case config.MiscCheck:
		describeCommand(b, "run", &k.Command)
		fmt.Fprintf(b, " for %s, dynamic %t", k.Timeout, k.Dynamic)
	case config.BFDCheck:
		fmt.Fprintf(b, ", name %s", k.Name)
	case config.FileCheck:
		fmt.Fprintf(b, ", name %s weight %d reverse %t", k.Name, k.Weight, k.Reverse)
	case config.HTTPGet:
		describeHTTP(b, k)
	}
	b.WriteString("\n")
}

func describeHTTP(b *strings.Builder, h config.HTTPGet) {
	fmt.Fprintf(b, ", HTTP %s, fast %t", h.Version, h.FastRecovery)
	item(b, "sni", h.SNIName, h.SNI)
	for _, u := range h.URLs {
		fmt.Fprintf(b, "\n      url %s host %q statuses %v", u.Path, u.Host, u.Statuses)
		if u.HasDigest {
			fmt.Fprintf(b, " digest %x", u.Digest)
		}
		if r := u.Regex; r != nil {
			fmt.Fprintf(b, " regex %q no match %t from %d to %d", r.Expr(), r.NoMatch, r.MinOffset, r.MaxOffset)
		}
	}
}

// TestBadConfigurations holds that each faulty acceptance file is named at the lines that its first comment lists.
func TestBadConfigurations(t *testing.T) {
	fsys := os.DirFS("testdata/keepalived")
	listed := regexp.MustCompile(`^# WRONG on line ([0-9, ]+):`)
	for _, name := range configurations(t, fsys, "bad/*.conf") {
		t.Run(name, func(t *testing.T) {
			text, err := fs.ReadFile(fsys, name)
			if err != nil {
				t.Fatal(err)
			}
			m := listed.FindStringSubmatch(string(text))
			if m == nil {
				t.Fatal("the first line lists no line numbers")
			}
			_, diags := config.Load(fsys, name, config.Options{}, onSite)
			for _, want := range strings.Split(m[1], ", ") {
				if !slices.ContainsFunc(diags, func(d config.Diagnostic) bool { return fmt.Sprint(d.Line) == want }) {
					t.Errorf("nothing is reported on line %s: %v", want, diags)
				}
			}
			fatal := name == "bad/23-missing-parameter.conf"
			if diags.HasFatal() != fatal {
				t.Errorf("fatal is %t, want %t", diags.HasFatal(), fatal)
			}
		})
	}
}
