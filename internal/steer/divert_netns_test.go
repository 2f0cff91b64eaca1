//go:build netns

package steer_test

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/steer"
)

// TestDiverts: the program decides as Rules.Diverts does, about random frames of all kinds, and
// never takes one that steering would have left to the stack. Rules come and go as they do in
// a running director.
func TestDiverts(t *testing.T) {
	netlab.Require(t)
	d, err := steer.OpenDiverter()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	r := rand.New(rand.NewPCG(20, 26))
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	at := steer.Doorway{MAC: [6]byte(mac), Longest: 200}
	verdict := func(frame []byte) bool {
		t.Helper()
		got, err := d.DivertVerdict(at, frame)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	var before steer.Rules
	for round := range 4 {
		rules := testRules(1)
		if round > 0 {
			rules = part(r, rules)
		}
		if err := d.Narrow(rules); err != nil {
			t.Fatal(err)
		}
		for range 200 {
			frame := divertFrame(t, r, mac)
			if want := before.Diverts(frame, at) && rules.Diverts(frame, at); verdict(frame) != want {
				t.Fatalf("round %d, narrowed: diverted %v, want %v\n% x", round, !want, want, frame)
			}
		}
		if err := d.Widen(rules); err != nil {
			t.Fatal(err)
		}
		taken := 0
		for range 600 {
			frame := divertFrame(t, r, mac)
			want := rules.Diverts(frame, at)
			if verdict(frame) != want {
				t.Fatalf("round %d: diverted %v, want %v\n% x", round, !want, want, frame)
			}
			if want && !rules.Drops(steer.Frame{Link: 1, Data: frame, Host: true}) {
				t.Fatalf("diverted, and steering leaves it to the stack:\n% x", frame)
			}
			if want {
				taken++
			}
		}
		if round == 0 && taken < 20 {
			t.Errorf("only %d frames were diverted", taken)
		}
		before = rules
	}
}

// divertFrame makes a random frame: most are to a host, some are not, too long, or cut short.
func divertFrame(t *testing.T, r *rand.Rand, mac net.HardwareAddr) []byte {
	t.Helper()
	f := randomFlow(r, 2)
	if f.to = mac; r.IntN(20) == 0 {
		f.to = net.HardwareAddr{2, 0, 0, 0, 0, 8}
	}
	f.padding = r.IntN(2) * r.IntN(160)
	frame := f.frame(t)
	if r.IntN(10) == 0 {
		frame = frame[:max(14, r.IntN(len(frame)))]
	}
	if frame[12] == 8 && len(frame) > 20 && r.IntN(10) == 0 {
		frame[20] |= 0x20 // more fragments
	}
	return frame
}

// part returns rules with about half of each list.
func part(r *rand.Rand, rules steer.Rules) steer.Rules {
	half := func(steer.Match) bool { return r.IntN(2) == 0 }
	rules.Services = slices.DeleteFunc(rules.Services, half)
	rules.Servers = slices.DeleteFunc(rules.Servers, half)
	rules.Locals = slices.DeleteFunc(rules.Locals, func(netip.Addr) bool { return r.IntN(2) == 0 })
	return rules
}
