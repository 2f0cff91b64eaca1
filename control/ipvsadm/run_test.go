package ipvsadm_test

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"uvs/control"
	"uvs/control/ipvsadm"
)

// table is a Lister with fixed answers.
type table struct {
	services    []control.Service
	connections []control.Connection
	err         error
}

func (tb table) Services(context.Context) (control.ServiceList, error) {
	return control.ServiceList{TableSize: 4096, Services: tb.services}, tb.err
}

func (tb table) Connections(_ context.Context, yield func(control.Connection) error) error {
	for _, c := range tb.connections {
		if err := yield(c); err != nil {
			return err
		}
	}
	return tb.err
}

func service(p control.Protocol, a, scheduler string, servers ...control.Server) control.Service {
	ap := addr(a)
	return control.Service{Protocol: p, Address: ap.Addr(), Port: ap.Port(), Scheduler: scheduler, Servers: servers}
}

func server(a string, m control.Method, weight int, s control.ServerState) control.Server {
	ap := addr(a)
	return control.Server{Address: ap.Addr(), Port: ap.Port(), Method: m, Weight: weight, EffectiveWeight: weight, State: s}
}

// site is a table out of ipvsadm's order, with a failed server.
func site() table {
	inhibited := server("10.1.0.13:8080", control.NAT, 3, control.ServerInhibited)
	inhibited.EffectiveWeight = 0
	return table{
		services: []control.Service{
			service(control.TCP, "[2001:db8::10]:80", "wrr", server("[2001:db8:1::11]:80", control.DR, 1, control.ServerUp)),
			service(control.UDP, "192.0.2.10:53", "rr"),
			service(control.TCP, "192.0.2.10:443", "wlc"),
			service(control.TCP, "192.0.2.10:80", "lc",
				inhibited,
				server("10.1.0.12:8080", control.NAT, 2, control.ServerRemoved),
				server("10.1.0.11:8080", control.NAT, 1, control.ServerUp)),
		},
		connections: []control.Connection{{
			Protocol: control.UDP, State: "UDP", Expires: control.Seconds(299 * time.Second),
			Client: addr("203.0.113.9:40000"), Virtual: addr("192.0.2.10:53"), Server: addr("203.0.113.21:53"),
		}},
	}
}

const services = `# a comment
http     80/tcp  www   # and another
https    443/tcp
domain   53/tcp
domain   53/udp
broken   x/tcp
quic     443/quic
`

// lookup knows one host and one name, and the services above.
func lookup() ipvsadm.Lookup {
	return ipvsadm.Lookup{
		Addr: func(_ context.Context, a string) ([]string, error) {
			if a == "192.0.2.10" {
				return []string{"www.example.org."}, nil
			}
			return nil, errors.New("no such host")
		},
		Host: func(_ context.Context, name string) ([]netip.Addr, error) {
			if name == "www.example.org" {
				return []netip.Addr{netip.MustParseAddr("::ffff:192.0.2.10")}, nil
			}
			return nil, errors.New("no such host")
		},
		Services: []byte(services),
	}
}

// run runs one command line against tb.
func run(t *testing.T, tb table, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = ipvsadm.Run(t.Context(), ipvsadm.Env{
		Program: "ipvsadm", Stdout: &out, Stderr: &errs, Table: tb, Lookup: lookup(),
	}, args)
	return status, out.String(), errs.String()
}

func TestRunListings(t *testing.T) {
	tests := []struct{ golden, args string }{
		{"run-numeric", "-L -n"},
		{"run-names", ""},
		{"run-service", "-Ln -t 192.0.2.10:80"},
		{"run-service-names", "-l -t www.example.org:www"},
		{"run-service6", "--list --numeric --tcp-service=[2001:db8::10]:80"},
		{"run-nosort", "-Ln --nosort"},
		{"run-connections", "-Lcn"},
	}
	for _, tt := range tests {
		t.Run(tt.golden, func(t *testing.T) {
			status, stdout, stderr := run(t, site(), strings.Fields(tt.args)...)
			if status != 0 || stderr != "" {
				t.Errorf("exit status %d, standard error %q", status, stderr)
			}
			golden(t, tt.golden, []byte(stdout))
		})
	}
}

func TestRunOtherSpellings(t *testing.T) {
	_, want, _ := run(t, site(), "-L", "-n")
	for _, args := range []string{"-Ln", "-ln", "--list --numeric", "-L --sort --sort -n", "-LnX", "-L -n --"} {
		if status, got, stderr := run(t, site(), strings.Fields(args)...); status != 0 || got != want {
			t.Errorf("%s: exit status %d, %q, listing differs from -L -n:\n%s", args, status, stderr, got)
		}
	}
}

func TestRunVersionAndHelpWithoutDirector(t *testing.T) {
	down := table{err: control.ErrNotRunning}
	if status, got, _ := run(t, down, "-v"); status != 0 || got != "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n" {
		t.Errorf("-v: exit status %d, %q", status, got)
	}
	status, got, _ := run(t, down, "--help")
	if status != 0 || !strings.HasPrefix(got, ipvsadm.Version+"\nUsage:\n  ipvsadm [-L|-l]") {
		t.Errorf("--help: exit status %d, %q", status, got)
	}
}

func TestRunMessages(t *testing.T) {
	const tryHelp = "Try `ipvsadm -h' or 'ipvsadm --help' for more information.\n"
	tests := []struct {
		args       string
		wantStatus int
		wantStderr string
	}{
		{"-n", 255, tryHelp},
		{"-nL", 255, tryHelp},
		{"-q", 255, tryHelp},
		{"--lis", 255, tryHelp},
		{"table", 255, tryHelp},
		{"--", 255, tryHelp},
		{"-L --bogus", 255, "--bogus: unknown option\n"},
		{"-Lq", 255, "-Lq: unknown option\n"},
		{"-L -t", 255, "-t: missing argument\n"},
		{"-L --numeric=1", 255, "--numeric=1: option does not take an argument\n"},
		{"-L -n -n", 2, "multiple 'numeric' options specified\n"},
		{"-L -t 192.0.2.10:80 -u 192.0.2.10:53", 2, "multiple 'service-address' options specified\n"},
		{"-L -A", 2, "invalid option `--add-service'\n"},
		{"-L table", 2, "unexpected argument table\n"},
		{"-L -s rr", 2, "Illegal 'scheduler' option with the 'list' command\n"},
		{"-L -w 1 -p 300 -n", 2, "Illegal 'persistent' option with the 'list' command\n"},
		{"-L -t 192.0.2.10:80 -c", 2, "The option 'service-address' conflicts with the 'connection' option in the 'list' command\n"},
		{"-L -c --stats", 2, "options conflicts in the list command\n"},
		{"-L --timeout --persistent-conn", 2, "options conflicts in the list command\n"},
		{"-L --stats", 2, "ipvsadm: the option --stats is not served by uvs yet\n"},
		{"-L --timeout", 2, "ipvsadm: the option --timeout is not served by uvs yet\n"},
		{"-A -t 192.0.2.10:80 -s rr", 2, "ipvsadm: the command --add-service is not served by uvs yet\n"},
		{"--set 1 2 3", 2, "ipvsadm: the command --set is not served by uvs yet\n"},
		{"-Z", 2, "ipvsadm: the command --zero is not served by uvs yet\n"},
		{"-Ln -t 192.0.2.10:81", 1, "No such service\n"},
		{"-Ln -u 192.0.2.10:80", 1, "No such service\n"},
		{"-Ln --sctp-service 192.0.2.10:80", 1, "No such service\n"},
		{"-Ln -f 7", 1, "No such service\n"},
		{"-Ln -f 7 -6", 1, "No such service\n"},
		{"-Ln -t 2001:db8::10", 1, "No such service\n"},
		{"-Ln -t 192.0.2.10", 1, "No such service\n"},
		{"-Ln -6", 2, "-6 used before -f\n"},
		{"-Ln -f 0", 2, "invalid fwmark value `0' specified\n"},
		{"-Ln -f 2147483648", 2, "invalid fwmark value `2147483648' specified\n"},
		{"-Ln -t 80", 2, "illegal virtual server address[:port] specified\n"},
		{"-Ln -t :80", 2, "illegal virtual server address[:port] specified\n"},
		{"-Ln -t 192.0.2.10:65536", 2, "illegal virtual server address[:port] specified\n"},
		{"-Ln -t 192.0.2.10:domain", 1, "No such service\n"},
		{"-Ln -t 192.0.2.10:gopher", 2, "illegal virtual server address[:port] specified\n"},
		{"-Ln -u 192.0.2.10:http", 2, "illegal virtual server address[:port] specified\n"},
		{"-Ln -t nowhere.example.org:80", 2, "illegal virtual server address[:port] specified\n"},
		{"-Ln -t [2001:db8::10]", 2, "illegal virtual server address[:port] specified\n"},
		{"-Ln -t [2001:db8::10", 2, "illegal virtual server address[:port] specified\n"},
		{"-Ln -t [192.0.2.10]:80", 2, "illegal virtual server address[:port] specified\n"},
		{"-Ln -t fe80::1%eth0", 2, "illegal virtual server address[:port] specified\n"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			status, stdout, stderr := run(t, site(), strings.Fields(tt.args)...)
			if status != tt.wantStatus || stdout != "" || stderr != tt.wantStderr {
				t.Errorf("got  %d %q, standard output %q\nwant %d %q", status, stderr, stdout, tt.wantStatus, tt.wantStderr)
			}
		})
	}
}

func TestRunWhenDirectorFails(t *testing.T) {
	down := table{err: control.ErrNotRunning}
	for _, args := range []string{"-Ln", "-Lcn"} {
		status, stdout, stderr := run(t, down, args)
		if status != 2 || stdout != "" || stderr != "Can't initialize ipvs: no uvs is running\n" {
			t.Errorf("%s: exit status %d, %q, standard output %q", args, status, stderr, stdout)
		}
	}
	broken := site()
	broken.err = errors.New("connection reset by peer")
	if status, stdout, stderr := run(t, broken, "-Lcn"); status != 1 || !strings.Contains(stdout, "203.0.113.9:40000") || stderr != "connection reset by peer\n" {
		t.Errorf("in the middle of a listing: exit status %d, %q, standard output %q", status, stderr, stdout)
	}
}

// TestRunWhenNamesAreSlow gives a resolver that never answers.
func TestRunWhenNamesAreSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out, errs bytes.Buffer
		stuck := lookup()
		stuck.Addr = func(ctx context.Context, _ string) ([]string, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		tb := site()
		for i := range 1000 {
			c := tb.connections[0]
			c.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 1)
			tb.connections = append(tb.connections, c)
		}
		start := time.Now()
		status := ipvsadm.Run(t.Context(), ipvsadm.Env{Program: "ipvsadm", Stdout: &out, Stderr: &errs, Table: tb, Lookup: stuck}, []string{"-Lc"})
		if took := time.Since(start); status != 0 || took > 2*time.Second {
			t.Errorf("exit status %d after %v, want 0 within 2 s", status, took)
		}
		if !strings.Contains(out.String(), "203.0.3.231:1 ") || !strings.Contains(out.String(), "192.0.2.10:domain") {
			t.Errorf("want addresses in numbers and ports by name, got\n%.400s…", out.String())
		}
	})
}

// TestRunWhenOneNameIsSlow must still print the names that come in time.
func TestRunWhenOneNameIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out, errs bytes.Buffer
		slow := lookup()
		quick := slow.Addr
		slow.Addr = func(ctx context.Context, a string) ([]string, error) {
			if a == "203.0.113.9" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return quick(ctx, a)
		}
		status := ipvsadm.Run(t.Context(), ipvsadm.Env{Program: "ipvsadm", Stdout: &out, Stderr: &errs, Table: site(), Lookup: slow}, []string{"-Lc"})
		if status != 0 || !strings.Contains(out.String(), "203.0.113.9:40000  www.example.org:domain ") {
			t.Errorf("exit status %d, %q, want the virtual address by name in\n%s", status, errs.String(), &out)
		}
	})
}
