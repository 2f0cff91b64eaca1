package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// An event is a line of go test -json (go doc test2json).
type event struct {
	Action     string
	Package    string
	ImportPath string // instead of Package in build output
	Test       string
	Output     string
}

// A gate follows one go test run. It is owned by one goroutine.
type gate struct {
	out    io.Writer
	strict bool // a skip that is not allowed is a failure
	allow  []exception

	output map[test]*strings.Builder // of tests that have not ended; test "" is the package's
	passed int
	failed int
	skips  []skip
}

type test struct{ pkg, name string }

type skip struct {
	test
	reason string // what the test wrote
	why    string // of the allow-list, empty when not allowed
}

func newGate(out io.Writer, strict bool, allow []exception) *gate {
	return &gate{out: out, strict: strict, allow: allow, output: make(map[test]*strings.Builder)}
}

// read follows the run to its end. Lines that are not events are printed: the go command
// writes some when it fails early.
func (g *gate) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				fmt.Fprintf(g.out, "%s", line)
			} else {
				g.event(e)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (g *gate) event(e event) {
	t := test{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(g.out, e.Output)
	case "build-fail":
		g.failed++
	case "output":
		if g.output[t] == nil {
			g.output[t] = new(strings.Builder)
		}
		g.output[t].WriteString(e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			g.endPackage(t, e.Action)
		} else {
			g.endTest(t, e.Action)
		}
	}
}

func (g *gate) endTest(t test, action string) {
	text := g.take(t)
	switch action {
	case "pass":
		g.passed++
	case "fail":
		g.failed++
		fmt.Fprint(g.out, text)
	case "skip":
		s := skip{test: t, reason: ownWords(text)}
		for _, x := range g.allow {
			if x.pkg == t.pkg && x.test == t.name {
				s.why = x.why
			}
		}
		g.skips = append(g.skips, s)
	}
}

// endPackage prints the package's own lines, after those of tests that never ended.
func (g *gate) endPackage(t test, action string) {
	text := g.take(t)
	if action == "fail" {
		g.failed++
		for other := range g.output {
			if other.pkg == t.pkg {
				fmt.Fprint(g.out, g.take(other))
			}
		}
	}
	for line := range strings.Lines(text) {
		if line != "PASS\n" && !strings.HasPrefix(line, "testing: warning: no tests to run") {
			fmt.Fprint(g.out, line)
		}
	}
}

func (g *gate) take(t test) string {
	b := g.output[t]
	delete(g.output, t)
	if b == nil {
		return ""
	}
	return b.String()
}

// ownWords returns a test's output without the lines that the testing package adds.
func ownWords(text string) string {
	var words []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			words = append(words, line)
		}
	}
	return strings.Join(words, " ")
}

// verdict prints the allow-list and the skips, and reports whether the run is good.
func (g *gate) verdict() bool {
	if len(g.allow) > 0 {
		fmt.Fprintln(g.out, "skips that are allowed:")
	}
	for _, x := range g.allow {
		fmt.Fprintf(g.out, "  %s %s: %s\n", x.pkg, x.test, x.why)
	}
	forbidden := 0
	for _, s := range g.skips {
		word := "skipped"
		switch {
		case s.why != "":
			word = "skipped, allowed"
		case g.strict:
			forbidden++
			word = "FAIL: skipped"
		}
		fmt.Fprintf(g.out, "%s: %s %s: %s\n", word, s.pkg, s.name, s.reason)
	}
	fmt.Fprintf(g.out, "%d passed, %d failed, %d skipped\n", g.passed, g.failed, len(g.skips))
	if g.passed == 0 && g.failed == 0 {
		fmt.Fprintln(g.out, "FAIL: no test ran")
		return false
	}
	return g.failed == 0 && forbidden == 0
}
