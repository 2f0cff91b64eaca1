package hostmarks

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestRules holds what is made of rules that Debian's iptables and nft have listed.
func TestRules(t *testing.T) {
	for _, name := range []string{"iptables.txt", "ip6tables.txt", "nft.json"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile("testdata/" + name)
			if err != nil {
				t.Fatal(err)
			}
			var chains []chain
			var notes []string
			if name == "nft.json" {
				chains, notes, err = parseNFT(text)
			} else {
				chains, notes = parseSaved("iptables", string(text), name == "ip6tables.txt")
			}
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, r := range firstFits(chains) {
				fmt.Fprintf(&b, "mark %d: protocol %s, from %v, to %v, ports %v, by %q\n", r.Mark, r.Protocol, r.Sources, r.Destinations, r.Ports, r.Interface)
			}
			for _, n := range notes {
				fmt.Fprintf(&b, "note: %s\n", n)
			}
			golden := "testdata/" + strings.TrimSuffix(strings.TrimSuffix(name, ".txt"), ".json") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Errorf("rules (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTheLastRuleCounts: netfilter goes on after a mark is set, unless the rule ends the chain.
func TestTheLastRuleCounts(t *testing.T) {
	one := func(mark uint32, final bool) rule {
		r, _, _ := parseWords(strings.Fields(fmt.Sprintf("-j MARK --set-mark %d", mark)), false)
		r.final = final
		return r
	}
	got := firstFits([]chain{
		{hook: input, rules: []rule{one(1, false)}},
		{hook: prerouting, priority: -150, rules: []rule{one(2, false), one(3, true), one(4, false)}},
		{hook: prerouting, priority: -300, rules: []rule{one(5, false), one(6, false)}},
	})
	var order []uint32
	for _, r := range got {
		order = append(order, r.Mark)
	}
	if want := "[1 3 4 2 6 5]"; fmt.Sprint(order) != want {
		t.Errorf("rules are asked in the order %v, want %s", order, want)
	}
}

func TestTables(t *testing.T) {
	got, err := parseTables([]byte(`{"nftables": [{"metainfo": {"version": "1.0.6"}}, {"table": {"family": "ip", "name": "mangle", "handle": 1}},
		{"table": {"family": "inet", "name": "mangle", "handle": 2}}, {"table": {"family": "netdev", "name": "uvs_steer_1", "handle": 3}}, {"table": {"family": "ip6", "name": "site"}}]}`))
	if want := "[{inet mangle} {ip6 site}]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("tables %v (%v), want %s", got, err, want)
	}
}

func TestUnreadableRuleset(t *testing.T) {
	if _, _, err := parseNFT([]byte("{")); err == nil || !strings.Contains(err.Error(), "nft -j list table") {
		t.Errorf("half a ruleset: %v", err)
	}
}
