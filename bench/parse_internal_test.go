package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
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

func TestParseStat(t *testing.T) {
	const text = `# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,
bench,FRONTEND,,,1,1,262121,1,1000,20,0,
bench,server1,0,0,1,1,,1,7,7,,
bench,BACKEND,0,0,1,1,26213,1,1000,20,0,

`
	got, err := parseStat(strings.NewReader(text))
	if want := (counters{"forwarded": 1020, "bytes in": 1000, "bytes out": 20}); err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if _, err := parseStat(strings.NewReader("")); err == nil {
		t.Error("no error for an empty answer")
	}
}

func TestParseCPU(t *testing.T) {
	before, err := parseCPU("cpu  10 0 10 100 5 0 5 0 3 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
	if err != nil {
		t.Fatal(err)
	}
	after, err := parseCPU("cpu  30 0 20 110 10 5 10 40 9 0\n")
	if err != nil {
		t.Fatal(err)
	}
	// user 20, system 10, irq 5, softirq 5 of 95 ticks; steal 40.
	if busy, steal := after.since(before); busy != 40.0/95 || steal != 40.0/95 {
		t.Errorf("busy %v, stolen %v of the time, want %v each", busy, steal, 40.0/95)
	}
	if busy, steal := before.since(before); busy != 0 || steal != 0 {
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
	if want := []string{"kernel", "uvs-nat", "uvs-nat-one", "haproxy"}; !slices.Equal(names, want) {
		t.Errorf("contenders are %v, want %v", names, want)
	}
	if got := o.directors[1]; got.path != "bin/old" || !slices.Equal(got.args, []string{"--workers", "1"}) {
		t.Errorf("second build is %+v", got)
	}
	for _, args := range [][]string{{"-rounds", "0"}, {"-uvs", ""}, {"bulk"}} {
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
	_, err = choose("contender", all, contenderName, "nginx")
	if want := `"nginx" is not a contender (have: kernel, uvs-nat, haproxy)`; errorText(err) != want {
		t.Errorf("error %q, want %q", errorText(err), want)
	}
}

func TestMissingPrograms(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := checkPrograms(contenders([]build{{path: "/nowhere/uvs"}}), scenarios())
	for _, want := range []string{
		"haproxy is missing: install the Debian package haproxy",
		"iperf3 is missing: install the Debian package iperf3",
		"/nowhere/uvs is missing: build it (make build)",
	} {
		if !strings.Contains(errorText(err), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
}

// TestVerify: a contender that did nothing, or had help, is an error and no result.
func TestVerify(t *testing.T) {
	for _, tt := range []struct {
		name      string
		contender string
		own       uint64
		kernel    uint64
		ok        bool
	}{
		{"reference", reference, 10, 10, true},
		{"contender alone", "haproxy", 10, 0, true},
		{"contender did nothing", "haproxy", 0, 0, false},
		{"kernel beside it", "haproxy", 10, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := bout{contender: contender{name: tt.contender}}
			err := b.verify(Run{Counters: counters{"forwarded": tt.own}}, tt.kernel)
			if (err == nil) != tt.ok {
				t.Errorf("got %v, want no error: %t", err, tt.ok)
			}
		})
	}
}
