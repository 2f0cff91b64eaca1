package ipvsadm_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"uvs/control/ipvsadm"
	"uvs/control/ipvsadm/ipvsadmtest"
)

// transcripts returns what the captured transcripts were played with: command lines, and
// texts for -R.
func transcripts(f *testing.F) (commands [][]string, rules []string) {
	f.Helper()
	files, err := filepath.Glob("testdata/captured/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		tr, err := ipvsadmtest.Parse(string(text))
		if err != nil {
			f.Fatalf("%s: %v", file, err)
		}
		for _, e := range tr {
			if e.Kind != "$" {
				continue
			}
			commands = append(commands, strings.Fields(e.Text))
			if e.Stdin != "" {
				rules = append(rules, e.Stdin)
			}
		}
	}
	return commands, rules
}

// FuzzCommandLine: whatever the words, and whatever stands in services(5), an answer has one
// of ipvsadm's statuses, a failure says why, and a line that changed nothing did not fail
// silently.
func FuzzCommandLine(f *testing.F) {
	commands, _ := transcripts(f)
	for i, words := range commands {
		if i%7 == 0 { // they are many and much alike
			f.Add(strings.Join(words, "\x00"), ipvsadmtest.Services)
		}
	}
	f.Add("-A\x00-t\x00www:http", "http 80/tcp www\n# none\nx 70000/tcp\n")
	f.Fuzz(func(t *testing.T, words, services string) {
		k := newKernel()
		for _, rule := range []string{"-A -t 192.0.2.10:80 -s rr", "-a -t 192.0.2.10:80 -r 198.51.100.11:80 -m"} {
			if a := ipvsadmtest.Run(t, k, strings.Fields(rule), ""); a.Status != 0 {
				t.Fatalf("%s: %s", rule, a.Stderr)
			}
		}
		lookup := ipvsadmtest.Lookup()
		lookup.Services = []byte(services)
		var out, errs bytes.Buffer
		status := ipvsadm.Run(t.Context(), ipvsadm.Env{
			Program: "ipvsadm", Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Table: k, Lookup: lookup,
		}, strings.Split(words, "\x00"))
		if !slices.Contains([]int{0, 1, 2, 255}, status) {
			t.Errorf("status %d is none of ipvsadm's", status)
		}
		if status != 0 && errs.Len() == 0 {
			t.Errorf("status %d without a word", status)
		}
	})
}

// FuzzRestore: a table that any text for -R made is saved as text that makes the same table,
// line by line and in one step.
func FuzzRestore(f *testing.F) {
	_, rules := transcripts(f)
	for _, text := range rules {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		first := newKernel()
		ipvsadmtest.Run(t, first, []string{"-R"}, text) // what is wrong with it may be told
		saved := ipvsadmtest.Run(t, first, []string{"-S", "-n"}, "")
		if saved.Status != 0 {
			t.Fatalf("the table cannot be saved: %s", saved.Stderr)
		}
		for _, args := range [][]string{{"-R"}, {"-R", "--atomic"}} {
			second := newKernel()
			if a := ipvsadmtest.Run(t, second, args, saved.Stdout); a.Status != 0 {
				t.Fatalf("%v refuses what -S saved: %s\n%s", args, a.Stderr, saved.Stdout)
			}
			if again := ipvsadmtest.Run(t, second, []string{"-S", "-n"}, ""); again != saved {
				t.Errorf("saved\n%sand after %v\n%s", saved.Stdout, args, again.Stdout)
			}
		}
	})
}
