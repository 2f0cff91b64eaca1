package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"uvs/config"
)

// load reads text as keepalived.conf on the test host.
func load(text string) (*config.Config, config.Diagnostics) {
	fsys := fstest.MapFS{"keepalived.conf": {Data: []byte(text)}}
	return config.Load(fsys, "keepalived.conf", config.Options{}, onSite)
}

// TestDiagnosticSaysWhereWhatAndInstead holds the form that an operator reads.
func TestDiagnosticSaysWhereWhatAndInstead(t *testing.T) {
	tests := []struct {
		name, line string // line is the second of a virtual_server
		want       string
	}{
		{"misspelt scheduler", "    lb_algo wrx",
			`keepalived.conf:2:13: lb_algo "wrx" is not a scheduler (have: dh, fo, lblc, lblcr, lc, mh, nq, ovf, rr, sed, sh, twos, wlc, wrr); did you mean "wrr"?`},
		{"number with a letter", "    weight 12x",
			`keepalived.conf:2:12: weight "12x" is not a whole number from 1 to 2147483647; it is ignored`},
		{"misspelt keyword", "\tlb_alg rr", `keepalived.conf:2:2: "lb_alg" is not a keyword in virtual_server; did you mean "lb_algo"?`},
		{"words after the last", "lb_algo rr weight 3",
			`keepalived.conf:2:12: lb_algo is followed by "weight 3", which is ignored: a line holds one statement, and here also weight`},
		{"word without meaning here", "  snmp_name x", `keepalived.conf:2:3: note: snmp_name is accepted and ignored: there is no such agent here`},
		{"script whose block is ignored", "}\nvrrp_script s {\nscript /bin/true\nuser x\n}\nvrrp_instance A {\ninterface eth0\nvirtual_router_id 1\ntrack_script {\ns\n}",
			`keepalived.conf:11:1: track_script names "s", whose vrrp_script (line 3) is ignored; so is this`},
		{"value that is missing", "  retry", `keepalived.conf:2:3: retry needs a whole number from 1 to 4294967295 after it`},
		{"column after a definition", "${_BANG}${_HASH} x", `keepalived.conf:2:1: "!#" is not a keyword in virtual_server`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, diags := load("virtual_server 192.0.2.1 80 {\n" + tt.line + "\nprotocol UDP\n}\n")
			var got []string
			for i := range diags {
				got = append(got, diags[i].Error())
			}
			if !strings.Contains("\n"+strings.Join(got, "\n")+"\n", "\n"+tt.want+"\n") {
				t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), tt.want)
			}
		})
	}
}

// TestExit holds what `keepalived -t` 2.2.7 says of the same text.
func TestExit(t *testing.T) {
	probe := func(statement string) string {
		return "virtual_server 192.0.2.1 53 {\nlb_algo rr\nlb_kind NAT\nprotocol UDP\nreal_server 192.0.2.2 53 {\nUDP_CHECK {\n" + statement + "\n}\n}\n}\n"
	}
	misc := func(statements string) string {
		return "virtual_server 192.0.2.1 53 {\nlb_algo rr\nlb_kind NAT\nprotocol UDP\nreal_server 192.0.2.2 53 {\nMISC_CHECK {\n" + statements + "\n}\n}\n}\n"
	}
	router := func(id string) string { return "$A=1\nglobal_defs {\nrouter_id " + id + "\n}\n" }
	tests := []struct {
		name, text string
		want       config.Exit
	}{
		{"bytes in quotes", probe(`payload "4f 4b" 4c`), config.ExitOK},
		{"a lone digit in quotes", probe(`require_reply "4 x"`), config.ExitOK},
		{"bytes with colons", probe(`payload "4f:4b"`), config.ExitFaults},
		{"a definition that is not replaced", router("$A/24"), config.ExitOK},
		{"an unknown definition in quotes", router(`"${B}"`), config.ExitOK},
		{"a script whose check is ignored", misc("misc_path /bin/true\nuser nosuch"), config.ExitFaults},
		{"a script whose check is ignored before it is named", misc("user nosuch\nmisc_path /bin/true"), config.ExitFaults},
		{"a vrrp_script that is ignored", "vrrp_script s {\nscript /bin/true\nuser nosuch\n}\n", config.ExitFaults},
		{"a script that root runs", misc("misc_path /bin/true"), config.ExitInsecure},
		{"an unknown definition", router("${B}"), config.ExitFaults},
		{"a definition that 2.2.7 does not know", router("${_ENV B}"), config.ExitFaults},
		{"a definition that 2.2.7 leaves in quotes", router(`"${_ENV B}"`), config.ExitOK},
		{"a comment that makes a line long", router("a # " + strings.Repeat("x", 1100)), config.ExitFaults},
		{"a long line whose rest is a comment", router("a " + strings.Repeat("#", 1100)), config.ExitOK},
		{"blanks that make a line long", router(strings.Repeat(" ", 1100) + "a"), config.ExitFaults},
		{"blanks before a statement", "global_defs {\n" + strings.Repeat(" ", 1100) + "router_id a\n}\n", config.ExitOK},
		{"a NUL", router("a\x00b"), config.ExitOK},
		{"a byte order mark", "\xef\xbb\xbf" + router("a"), config.ExitFaults},
		{"UTF-16", "\xff\xfe$\x00A\x00=\x001\x00\n\x00", config.ExitFaults},
		{"values of two words", router("a\n~LST(i,1 2,3) router_id ${i}"), config.ExitFaults},
		{"all of include_check", router("a\ninclude_check"), config.ExitOK},
		{"one word of include_check", router("a\ninclude_check match"), config.ExitOK},
		{"a second word of include_check", router("a\ninclude_check read match"), config.ExitFaults},
		{"signs of include_check", router("a\ninclude_check read +match -read"), config.ExitOK},
		{"an unknown word of include_check", router("a\ninclude_check +readable"), config.ExitFaults},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fsys := fstest.MapFS{"keepalived.conf": {Data: []byte(tt.text)}}
			env := func(name string) (string, bool) { return "b", name == "B" }
			if _, diags := config.Load(fsys, "keepalived.conf", config.Options{LookupEnv: env}, onSite); diags.Exit() != tt.want {
				t.Errorf("got %d, want %d: %v", diags.Exit(), tt.want, diags)
			}
		})
	}
}

// TestQuotedBytes: blanks in quotes separate bytes as those outside do.
func TestQuotedBytes(t *testing.T) {
	c, diags := load("virtual_server 192.0.2.1 53 {\nlb_algo rr\nlb_kind NAT\nprotocol UDP\nreal_server 192.0.2.2 53 {\n" +
		"UDP_CHECK {\npayload \"4f 4b4 1\"\nrequire_reply \" 4x\"\n}\n}\n}\n")
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	got := c.VirtualServers[0].RealServers[0].Checkers[0].(config.UDPCheck)
	if string(got.Payload) != "OK\x04\x01" || string(got.Reply) != "@" || string(got.ReplyMask) != "\xf0" {
		t.Errorf("got payload %q, reply %q with mask %x", got.Payload, got.Reply, got.ReplyMask)
	}
}

// TestDiagnosticIsAnError holds that callers can take a finding out of an error chain.
func TestDiagnosticIsAnError(t *testing.T) {
	_, diags := load("nonsense\n")
	err := fmt.Errorf("reload: %w", error(&diags[0]))
	var d *config.Diagnostic
	if !errors.As(err, &d) || d.Value != "nonsense" || d.Severity != config.Error || d.Pos.String() != "keepalived.conf:1:1" {
		t.Errorf("got %#v", d)
	}
}

// TestMainFileThatCannotBeRead is fatal, and still gives a model.
func TestMainFileThatCannotBeRead(t *testing.T) {
	fsys := fstest.MapFS{
		"dir/x":    {},
		"script":   {Data: []byte("x"), Mode: 0o755},
		"fifo":     {Mode: 0o644 | fs.ModeNamedPipe},
		"fine.cfg": {},
	}
	tests := []struct{ name, want string }{
		{"none", "/none: cannot read /none: file does not exist"},
		{"dir", "/dir: /dir is a directory, not a file"},
		{"script", "/script: /script is not a regular non-executable file"},
		{"fifo", "/fifo: /fifo is not a regular non-executable file"},
		{"fine.cfg", ""},
	}
	for _, tt := range tests {
		c, diags := config.Load(fsys, tt.name, config.Options{Root: "/"}, onSite)
		if c == nil {
			t.Fatalf("%s: no model", tt.name)
		}
		switch {
		case tt.want == "" && len(diags) == 0:
		case len(diags) != 1 || diags[0].Error() != tt.want || !diags.HasFatal() || !diags.HasErrors():
			t.Errorf("%s: got %v, want %s", tt.name, diags, tt.want)
		}
	}
}

// TestRandomIsRepeatable holds that the seed decides ${_RANDOM}.
func TestRandomIsRepeatable(t *testing.T) {
	fsys := fstest.MapFS{"x": {Data: []byte("global_defs {\nrouter_id ${_RANDOM}-${_RANDOM 5}-${_RANDOM 7 9}\n}\n")}}
	id := func(seed uint64) string {
		c, _ := config.Load(fsys, "x", config.Options{Seed: seed}, onSite)
		return c.RouterID
	}
	if a, b, c := id(1), id(1), id(2); a != b || a == c {
		t.Errorf("seeds 1, 1, 2 give %s, %s, %s", a, b, c)
	}
	var a, b, c int
	if n, _ := fmt.Sscanf(id(3), "%d-%d-%d", &a, &b, &c); n != 3 || a < 0 || a > 32767 || b < 5 || c < 7 || c > 9 {
		t.Errorf("out of bounds: %s", id(3))
	}
}

// TestInterfacesThatMayAppear holds that dynamic_interfaces makes a missing interface a warning, and that the check
// can be switched off.
func TestInterfacesThatMayAppear(t *testing.T) {
	const text = "vrrp_instance A {\ninterface eth9\nvirtual_router_id 1\nvirtual_ipaddress { 192.0.2.1 }\n}\n"
	if c, diags := load(text); len(c.Instances) != 0 || !diags.HasErrors() {
		t.Errorf("eth9 is accepted: %v", diags)
	}
	if c, diags := load(text + "global_defs {\ndynamic_interfaces\n}\n"); len(c.Instances) != 1 || diags.HasErrors() || diags.Count(config.Warning) != 1 {
		t.Errorf("dynamic_interfaces has no effect: %v", diags)
	}
	fsys := fstest.MapFS{"x": {Data: []byte(text)}}
	if c, diags := config.Load(fsys, "x", config.Options{}, anyHost); len(c.Instances) != 1 || diags.HasErrors() {
		t.Errorf("AnyInterface has no effect: %v", diags)
	}
}

// TestInheritanceStopsAtTheFirstThatSpeaks sets one word at each level in turn.
func TestInheritanceStopsAtTheFirstThatSpeaks(t *testing.T) {
	const text = "virtual_server 192.0.2.1 80 {\nlb_algo rr\nlb_kind NAT\nprotocol TCP\n%s\nreal_server 192.0.2.2 80 {\n%s\nTCP_CHECK {\n%s\n}\nHTTP_GET {\nurl {\npath /\n}\n%s\n}\n}\n}\n"
	tests := []struct {
		name                    string
		service, server, check  string
		tcp, http, loop, warmup time.Duration
		retry                   uint32
		tcpTimeout, httpTimeout time.Duration
	}{
		{"defaults", "", "", "", time.Second, 3 * time.Second, time.Minute, time.Minute, 1, 5 * time.Second, 5 * time.Second},
		{"service", "delay_before_retry 7\ndelay_loop 8\nretry 9\nconnect_timeout 2", "", "",
			7 * time.Second, 7 * time.Second, 8 * time.Second, 8 * time.Second, 9, 2 * time.Second, 2 * time.Second},
		{"server", "delay_before_retry 7\ndelay_loop 8\nretry 9\nconnect_timeout 2\nwarmup 1", "delay_before_retry 0\ndelay_loop 0.5\nretry 2\nconnect_timeout 3", "",
			0, 0, 500 * time.Millisecond, time.Second, 2, 3 * time.Second, 3 * time.Second},
		{"check", "retry 9\nwarmup 1", "retry 2\ndelay_loop 8", "retry 0\nwarmup 0\ndelay_loop 4\ndelay_before_retry 1",
			time.Second, time.Second, 4 * time.Second, 0, 0, 5 * time.Second, 5 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, diags := load(fmt.Sprintf(text, tt.service, tt.server, tt.check, tt.check))
			if len(diags) != 0 {
				t.Fatal(diags)
			}
			tcp := c.VirtualServers[0].RealServers[0].Checkers[0].Common()
			http := c.VirtualServers[0].RealServers[0].Checkers[1].Common()
			for _, o := range []config.CheckOptions{tcp, http} {
				if o.DelayLoop != tt.loop || o.Warmup != tt.warmup || o.Retry != tt.retry {
					t.Errorf("delay_loop %s, warmup %s, retry %d; want %s, %s, %d", o.DelayLoop, o.Warmup, o.Retry, tt.loop, tt.warmup, tt.retry)
				}
			}
			if tcp.DelayBeforeRetry != tt.tcp || http.DelayBeforeRetry != tt.http {
				t.Errorf("delay_before_retry %s and %s, want %s and %s", tcp.DelayBeforeRetry, http.DelayBeforeRetry, tt.tcp, tt.http)
			}
			if tcp.ConnectTimeout != tt.tcpTimeout || http.ConnectTimeout != tt.httpTimeout {
				t.Errorf("connect_timeout %s and %s, want %s and %s", tcp.ConnectTimeout, http.ConnectTimeout, tt.tcpTimeout, tt.httpTimeout)
			}
		})
	}
}

// BenchmarkLoad reads a site of 1000 services with 10 servers each, 56000 lines.
func BenchmarkLoad(b *testing.B) {
	var text strings.Builder
	for s := range 1000 {
		fmt.Fprintf(&text, "virtual_server 10.%d.%d.1 80 {\n    lb_algo rr\n    lb_kind NAT\n    protocol TCP\n    delay_loop 5\n", s/250, s%250)
		for r := range 10 {
			fmt.Fprintf(&text, "    real_server 172.16.%d.%d 80 {\n        weight 3\n        TCP_CHECK {\n        }\n    }\n", s%250, r+1)
		}
		text.WriteString("}\n")
	}
	fsys := fstest.MapFS{"keepalived.conf": {Data: []byte(text.String())}}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		c, diags := config.Load(fsys, "keepalived.conf", config.Options{}, onSite)
		if len(c.VirtualServers) != 1000 || len(diags) != 0 {
			b.Fatal(len(c.VirtualServers), diags)
		}
	}
}

// TestExpansionIsBounded holds that short texts which expand without end stop with one fatal finding.
func TestExpansionIsBounded(t *testing.T) {
	const loops = "~SEQ(A, 1, 500000) ~SEQ(B, 1, 500000) "
	tests := []struct{ name, text, want string }{
		{"lines", loops + "x", "more than 524288 lines"},
		{"braces", loops + strings.Repeat("a{}", 300), "more than 524288 lines"},
		{"words", loops + "a" + strings.Repeat(" b", 450), "more than 4 MiB"},
		{"nothing but loops", loops + "@none x", "more than 524288 lines"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, diags := load("global_defs {\n" + tt.text + "\n}\n")
			fatal := 0
			for _, d := range diags {
				if d.Fatal && strings.Contains(d.Message, tt.want) {
					fatal++
				}
			}
			if fatal != 1 {
				t.Errorf("got %d fatal findings of %d that say %q", fatal, len(diags), tt.want)
			}
		})
	}
}
