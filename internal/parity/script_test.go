package parity_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"uvs/internal/parity"
)

func TestScriptRoundTrip(t *testing.T) {
	const text = `# a comment

case one
ipvsadm -A -t 192.0.2.10:80 -s rr
client 203.0.113.5:1001 > 192.0.2.10:80 tcp S
> server1 203.0.113.5:1001 > 198.51.100.11:80 tcp S ttl 63
~ anew
- server2 203.0.113.5:1001 > 198.51.100.12:80 tcp S ttl 63
stack client 203.0.113.5:1001 > 192.0.2.10:81 tcp S
> clients 192.0.2.10:81 > 203.0.113.5:1001 tcp RA ttl 64
`
	s, err := parity.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.String(); got != text {
		t.Errorf("got\n%s", got)
	}
	if e := s[4]; len(e.Kernel) != 1 || e.Differs != "anew" || !slices.Equal(e.Want(), e.Ours) || len(e.Ours) != 1 {
		t.Errorf("got %+v", e)
	}
	if e := s[5]; !e.Stack || e.Kind != "client" || !slices.Equal(e.Want(), e.Kernel) {
		t.Errorf("got %+v", e)
	}
	for _, bad := range []string{
		"> answers nothing", "what", "stack ipvsadm -L", "stack what",
		"wait 1\n- ours", "wait 1\n~ anew\n> theirs", "wait 1\n~ anew\n~ anew", "wait 1\n~",
	} {
		if _, err := parity.Parse(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestDifferencesAreDecisions: what scripts call a difference is in the list, all of the list
// is used, and each is a decision that ARCHITECTURE.md tells.
func TestDifferencesAreDecisions(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	used := make(map[string]bool)
	for _, file := range files {
		for _, e := range parity.Read(t, file) {
			if e.Differs == "" {
				continue
			}
			used[e.Differs] = true
			if slices.Equal(e.Kernel, e.Ours) {
				t.Errorf("%s:%d: ours does not differ", file, e.Line)
			}
			if parity.Differences()[e.Differs] == "" {
				t.Errorf("%s:%d: %q is not in the list of differences", file, e.Line, e.Differs)
			}
		}
	}
	text, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, decisions, _ := strings.Cut(string(text), "\n## Decisions that differ")
	decisions, _, _ = strings.Cut(decisions, "\n## ")
	decisions = strings.Join(strings.Fields(decisions), " ")
	for name, sentence := range parity.Differences() {
		if !used[name] {
			t.Errorf("no script has the difference %q", name)
		}
		if !strings.Contains(decisions, "- "+sentence) {
			t.Errorf("ARCHITECTURE.md does not have the decision %q", sentence)
		}
	}
}
