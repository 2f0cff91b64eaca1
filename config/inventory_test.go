package config_test

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"testing"

	"uvs/config"
)

// TestInventory holds docs/keywords.md to the table that the parser uses; -update writes it.
func TestInventory(t *testing.T) {
	const file = "../docs/keywords.md"
	got := renderInventory()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is old: run go test ./config -run Inventory -update", file)
	}
}

// TestEveryCommonWordIsServed: what is in almost every configuration, or common, does what it
// does in keepalived; of what is left out each word says why.
func TestEveryCommonWordIsServed(t *testing.T) {
	for _, k := range config.Inventory() {
		if (k.Tier == 'A' || k.Tier == 'B') && k.State != config.Served && k.Name != "lvs_sync_daemon" && k.Name != "no_accept" {
			t.Errorf("%s of %q is common and %s: %s", k.Name, k.Context, k.State, k.Note)
		}
		if k.State != config.Served && (k.Note == "" || k.Note == "it is ignored") {
			t.Errorf("%s of %q is %s and does not say why", k.Name, k.Context, k.State)
		}
	}
}

func renderInventory() string {
	var b strings.Builder
	all := config.Inventory()
	counts := make(map[config.State]int)
	for _, k := range all {
		counts[k.State]++
	}
	fmt.Fprintf(&b, `# Keywords

Every word of keepalived.conf(5), and what UVS makes of it; go test ./config -run Inventory -update writes this file from the
table that the parser uses. A word is listed in each block where it may stand. The words of `+"`--extra FILE`"+` are in [extra.md](extra.md).

**%d words: %d %s, %d %s, %d %s, %d %s.** Each word that is not served is named by `+"`uvs check`"+`, with its reason.

Tier: A in almost every configuration, B common, C rare, N a matter of keepalived's own processes or of the kernel's IPVS.
`, len(all), counts[config.Served], config.Served, counts[config.InPart], config.InPart, counts[config.NotServed], config.NotServed, counts[config.Ignored], "accepted and without meaning here")
	renderContexts(&b, all)
	return b.String()
}

func renderContexts(b *strings.Builder, list []config.Keyword) {
	context := "\x00"
	for _, k := range list {
		if k.Context != context {
			context = k.Context
			fmt.Fprintf(b, "\n## %s\n\n| Word | Tier | State | |\n|---|---|---|---|\n", cmp.Or(context, "Top level"))
		}
		fmt.Fprintf(b, "| `%s` | %c | %s | %s |\n", k.Name, k.Tier, k.State, k.Note)
	}
}
