package main

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"uvs/bench/outcome"
)

func TestParseIperf(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       float64
		wantErr    string
	}{
		{"the receiver's figure counts", `{"end":{"sum_sent":{"bits_per_second":9e9},"sum_received":{"bits_per_second":8e9}}}`, 8e9, ""},
		{"iperf3's own error", `{"start":{},"error":"unable to connect to server"}`, 0, "unable to connect to server"},
		{"nothing received", `{"end":{"sum_received":{"bits_per_second":0}}}`, 0, "got nothing"},
		{"no JSON", "iperf3: error", 0, "iperf3's output"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseIperf(tt.text)
			if got != tt.want {
				t.Errorf("got %v bit/s, want %v", got, tt.want)
			}
			if text := errorText(err); (tt.wantErr == "") != (err == nil) || !strings.Contains(text, tt.wantErr) {
				t.Errorf("error %q, want %q", text, tt.wantErr)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestParseWrk(t *testing.T) {
	const good = "  3 requests in 1.10s\nRequests/sec:  12345.67\nTransfer/sec:      1.79MB\n"
	for _, tt := range []struct {
		name, text   string
		rate, failed float64
		ok           bool
	}{
		{"no errors", good, 12345.67, 0, true},
		{"errors of each kind", "  Socket errors: connect 1, read 2, write 3, timeout 4\n" + good, 12345.67, 10, true},
		{"nothing answered", "Requests/sec:      0.00\n", 0, 0, false},
		{"no rate", "unable to connect to 192.0.2.1:80 Connection refused\n", 0, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rate, failed, err := parseWrk(tt.text)
			if rate != tt.rate || failed != tt.failed || (err == nil) != tt.ok {
				t.Errorf("got %v, %v, %v, want %v, %v, ok %t", rate, failed, err, tt.rate, tt.failed, tt.ok)
			}
		})
	}
}

func TestParseSink(t *testing.T) {
	const text = `table netdev sink {
	chain sink {
		type filter hook ingress devices = { "eth0", "direct0" } priority filter; policy accept;
		ip daddr 192.0.2.201 udp dport 9000 counter packets 120 bytes 5520 drop
		udp dport 9000 counter packets 3 bytes 138 drop
	}
}`
	arrived, astray, err := parseSink(text)
	if arrived != 120 || astray != 3 || err != nil {
		t.Errorf("got %d, %d, %v, want 120 and 3", arrived, astray, err)
	}
	if _, _, err := parseSink("table netdev sink {\n}"); err == nil {
		t.Error("no error without counters")
	}
}

func TestParseDev(t *testing.T) {
	const text = "Inter-|   Receive  |  Transmit\n face |bytes    packets errs\n    lo:       1       2    0\n  eth0: 150176400 2502938    0\n"
	if n, err := parseDev(text, "eth0"); n != 2502938 || err != nil {
		t.Errorf("got %d, %v, want 2502938", n, err)
	}
	if _, err := parseDev(text, "eth1"); err == nil {
		t.Error("no error for an interface that is not there")
	}
}

func TestParseIPVSStats(t *testing.T) {
	const text = "   Total Incoming Outgoing         Incoming         Outgoing\n   Conns  Packets  Packets            Bytes            Bytes\n" +
		"      1A      100       0             64000                0\n\n Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n"
	got, err := parseIPVSStats(text)
	if want := (counters{"connections": 26, "forwarded": 256}); err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if _, err := parseIPVSStats(""); err == nil {
		t.Error("no error for an empty file")
	}
}

func TestParseGCTrace(t *testing.T) {
	const text = "gc 1 @0.012s 2%: 0.018+1.2+0.003 ms clock, 0.036+0.5/1.1/0+0.006 ms cpu, 4->4->1 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P\n" +
		"level=INFO msg=\"uvs is ready\"\ngc 2 @120.1s 0%: 0.5+20+0.25 ms clock, 0 ms cpu\n"
	if got, want := parseGCTrace(text), []float64{18, 3, 500, 250}; !slices.EqualFunc(got, want, near) {
		t.Errorf("pauses are %v µs, want %v", got, want)
	}
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

func TestParseShape(t *testing.T) {
	for _, l := range []outcome.Load{pps{full}.about(), lossFree{full}.about(), cost{full}.about()} {
		for _, variation := range l.Cases {
			sh, err := parseShape(variation)
			if err != nil || sh.size < 64 || sh.flows < 1 {
				t.Errorf("%s: %q is %+v, %v", l.Name, variation, sh, err)
			}
		}
	}
	if _, err := parseShape("fast"); err == nil {
		t.Error("no error for what is no shape")
	}
}

// TestScaleDemands: the case's name is what is asked for.
func TestScaleDemands(t *testing.T) {
	for variation, want := range map[string]demand{
		"10000 services":   {protocol: "TCP", port: 10000, services: 10000},
		"1000 servers, rr": {protocol: "TCP", port: 10000, servers: 1000, scheduler: "rr"},
		"1 server, wlc":    {protocol: "TCP", port: 10000, servers: 1, scheduler: "wlc"},
	} {
		if got := (scale{}).demand(variation); got != want {
			t.Errorf("%s: got %+v, want %+v", variation, got, want)
		}
	}
}

// TestTargetsNameWhatIsMeasured: a misspelt target would never be judged.
func TestTargetsNameWhatIsMeasured(t *testing.T) {
	cases := make(map[string]bool)
	for _, p := range []profile{full, guest} {
		for _, s := range scenarios(p) {
			for _, c := range s.about().Cases {
				cases[s.about().Name+", "+c] = true
			}
		}
	}
	names := make(map[string]bool)
	for _, c := range contenders(standard()) {
		names[c.name] = true
	}
	for _, target := range targets() {
		for _, c := range []string{target.Case, target.AgainstCase} {
			if c != "" && !cases[target.Scenario+", "+c] {
				t.Errorf("target %d: no scenario %q has a case %q", target.Number, target.Scenario, c)
			}
		}
		for _, name := range []string{target.Contender, target.Against} {
			if name != "" && !names[name] {
				t.Errorf("target %d: no contender %q", target.Number, name)
			}
		}
	}
}

func TestParseCPU(t *testing.T) {
	before, err := parseCPU("cpu  10 0 10 100 5 0 5 0 3 0\ncpu0 4 0 4 50 3 0 3 0 1 0\ncpu1 6 0 6 50 2 0 2 0 2 0\nintr 1 2\n")
	if err != nil {
		t.Fatal(err)
	}
	after, err := parseCPU("cpu  30 0 20 110 10 5 10 40 9 0\ncpu0 20 0 10 55 5 5 5 20 4 0\ncpu1 10 0 10 55 5 0 5 20 5 0\nintr 1 2\n")
	if err != nil {
		t.Fatal(err)
	}
	// user 20, system 10, irq 5, softirq 5 of 95 ticks; steal 40.
	grown := after.since(before)
	if busy, steal := grown.part(); busy != 40.0/95 || steal != 40.0/95 {
		t.Errorf("busy %v, stolen %v of the time, want %v each", busy, steal, 40.0/95)
	}
	if all, first, none := grown.used(), grown.usedBy(0), grown.usedBy(2); all != 400*time.Millisecond || first != 290*time.Millisecond || none != 0 {
		t.Errorf("used %v, of CPU 0 %v, of CPU 2 %v; want 400ms, 290ms, 0", all, first, none)
	}
	if busy, steal := before.since(before).part(); busy != 0 || steal != 0 {
		t.Errorf("busy %v, stolen %v in no time, want 0", busy, steal)
	}
	if _, err := parseCPU("intr 1 2 3\n"); err == nil {
		t.Error("no error for another file")
	}
}

func TestFeatures(t *testing.T) {
	got := features("Features for eth0:\nrx-checksumming: on\ntx-checksumming: on\n\ttx-checksum-ipv4: off [fixed]\nscatter-gather: on\nlarge-receive-offload: off [fixed]\nntuple-filters: off [fixed]\n")
	if want := "rx-checksumming: on, tx-checksumming: on, scatter-gather: on, large-receive-offload: off"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestParse(t *testing.T) {
	o, err := parse([]string{"-rounds", "2", "-uvs", "bin/uvs", "-uvs", "one=bin/old --workers 1"}, &strings.Builder{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range contenders(o.directors) {
		names = append(names, c.name)
	}
	want := []string{"kernel", "direct", "uvs-nat", "uvs-dr", "uvs-nat-one", "uvs-dr-one", "nft-dnat", "ipvs-nat", "ipvs-dr", "haproxy", "nginx"}
	if !slices.Equal(names, want) {
		t.Errorf("contenders are %v, want %v", names, want)
	}
	if got := o.directors[1]; got.path != "bin/old" || !slices.Equal(got.args, []string{"--workers", "1"}) {
		t.Errorf("second build is %+v", got)
	}
	if o, err = parse([]string{"-quick"}, &strings.Builder{}); err != nil || o.parameters.Rounds != 1 || o.parameters.Profile != "quick" {
		t.Errorf("-quick is %+v, %v", o.parameters, err)
	}
	for _, args := range [][]string{{"-rounds", "0"}, {"-uvs", ""}, {"bulk"}, {"-profile", "long"}, {"-softirq", "nobody"}, {"-seconds", "0"}} {
		if _, err := parse(args, &strings.Builder{}); err == nil {
			t.Errorf("no error for %q", args)
		}
	}
}

func TestChoose(t *testing.T) {
	all := contenders([]build{{path: "bin/uvs"}})
	got, err := choose("contender", all, contenderName, "haproxy,kernel")
	if err != nil || len(got) != 2 || got[0].name != "kernel" || got[1].name != "haproxy" {
		t.Errorf("got %d contenders, %v, want kernel and haproxy in the list's order", len(got), err)
	}
	_, err = choose("contender", all, contenderName, "squid")
	if want := `"squid" is not a contender (have: kernel, direct, uvs-nat, uvs-dr, nft-dnat, ipvs-nat, ipvs-dr, haproxy, nginx)`; errorText(err) != want {
		t.Errorf("error %q, want %q", errorText(err), want)
	}
}

// TestAvailable: who cannot run here is left out with a reason, and kept if it was asked for,
// so that it fails.
func TestAvailable(t *testing.T) {
	all := []contender{{name: "a"}, {name: "b", missing: func() error { return errors.New("no b here") }}}
	if here, skipped := available(all, ""); len(here) != 1 || len(skipped) != 1 || skipped[0].Error() != "no b here" {
		t.Errorf("got %d contenders and %v", len(here), skipped)
	}
	if here, skipped := available(all, "a,b"); len(here) != 2 || len(skipped) > 0 {
		t.Errorf("asked for both: got %d contenders and %v", len(here), skipped)
	}
}

func TestMissingPrograms(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := checkPrograms(contenders([]build{{path: "/nowhere/uvs"}}), scenarios(standing))
	for _, want := range []string{
		"haproxy is missing: install the Debian package haproxy",
		"iperf3 is missing: install the Debian package iperf3",
		"/nowhere/uvs is missing: build it (make build)",
	} {
		if strings.Count(errorText(err), want) != 1 {
			t.Errorf("error does not have once %q:\n%v", want, err)
		}
	}
}

// TestVerify: a contender that did nothing, or had help, is an error and no result.
func TestVerify(t *testing.T) {
	for _, tt := range []struct {
		name      string
		contender contender
		own       uint64
		kernel    uint64
		ok        bool
	}{
		{"reference", kernelForwarding(), 10, 10, true},
		{"contender alone", haproxyTCP(), 10, 0, true},
		{"contender did nothing", haproxyTCP(), 0, 0, false},
		{"kernel beside it", haproxyTCP(), 10, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := bout{contender: tt.contender}
			err := b.verify(outcome.Run{Counters: counters{"forwarded": tt.own}}, tt.kernel)
			if (err == nil) != tt.ok {
				t.Errorf("got %v, want no error: %t", err, tt.ok)
			}
		})
	}
}

// TestOrder: the order is drawn from seed and round alone, holds everyone once, and lets
// nobody always be first.
func TestOrder(t *testing.T) {
	first := make(map[int]int)
	for round := range 300 {
		got := order(1, round, 3)
		if !slices.Equal(got, order(1, round, 3)) {
			t.Fatalf("round %d is drawn differently the second time", round)
		}
		first[got[0]]++
		slices.Sort(got)
		if !slices.Equal(got, []int{0, 1, 2}) {
			t.Fatalf("round %d: %v, want each of 0, 1, 2 once", round, got)
		}
	}
	for i := range 3 {
		if first[i] < 50 {
			t.Errorf("contender %d was first in %d of 300 rounds", i, first[i])
		}
	}
}

// TestLimited: the generator was the limit if all that it sent arrived.
func TestLimited(t *testing.T) {
	if got := (delivery{rate: 99, offered: 100}).limited(); got != "generator" {
		t.Errorf("99 of 100: %q", got)
	}
	if got := (delivery{rate: 90, offered: 100}).limited(); got != "" {
		t.Errorf("90 of 100: %q", got)
	}
}

// TestGuestTargets: what is measured in an emulated machine says nothing about the other targets.
func TestGuestTargets(t *testing.T) {
	for _, target := range targetsOf(guest) {
		if target.Number != besideIPVS {
			t.Errorf("target %d is judged in the guest", target.Number)
		}
	}
	if len(targetsOf(standing)) != len(targets()) {
		t.Error("not all targets are judged here")
	}
}

// TestUnknownWord: a build is left out for a flag, or a value of one, that its help does not have.
func TestUnknownWord(t *testing.T) {
	const help = "Flags:\n      --io auto|v2|v3      how frames come in\n      --busy-poll TIME     how long\n"
	for want, args := range map[string][]string{
		"":           {"--io", "v3", "--busy-poll", "1ms"},
		"--io afxdp": {"--io", "afxdp"},
		"--transmit": {"--io", "v2", "--transmit", "auto"},
	} {
		if got := unknownWord(help, args); got != want {
			t.Errorf("%q: got %q, want %q", args, got, want)
		}
	}
}

// TestOffloadChanges: a change of a feature is named with its device, and what did not change is not.
func TestOffloadChanges(t *testing.T) {
	before := map[string]string{"client eth0": "rx-checksumming: on, tcp-segmentation-offload: on", "server eth0": "tcp-segmentation-offload: on"}
	after := map[string]string{"client eth0": "rx-checksumming: on, tcp-segmentation-offload: off", "server eth0": "tcp-segmentation-offload: on"}
	if got := offloadChanges(before, after); !slices.Equal(got, segmentsAtTheEnds()[:1]) {
		t.Errorf("changes are %q, want %q", got, segmentsAtTheEnds()[:1])
	}
	if got := offloadChanges(before, before); got != nil {
		t.Errorf("without a change: %q", got)
	}
}
