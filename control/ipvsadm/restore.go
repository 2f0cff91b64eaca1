package ipvsadm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"uvs/control"
)

// A ruleLine is one line of -R's input: its number, counted from 1, and its words.
type ruleLine struct {
	number int
	words  []string
}

// eachRule reads the lines of r that are not blank.
func eachRule(r io.Reader, yield func(ruleLine) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	for n := 1; ; n++ {
		text, err := in.ReadString('\n')
		if words := splitRule(text); len(words) > 0 {
			if err := yield(ruleLine{n, words}); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fail("standard input: %v", err)
		}
	}
}

// splitRule splits a line as ipvsadm does: at blanks, tabs and carriage returns, so that the
// line may end as on Windows; and the word ipvsadm goes, wherever it stands.
func splitRule(text string) []string {
	all := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n", r) })
	words := all[:0]
	for _, w := range all {
		if w != "ipvsadm" {
			words = append(words, w)
		}
	}
	return words
}

// restore does the commands of -R. Messages begin with the number of their line. What the
// table refuses, and options that popt does not know, concern one line alone: the exit
// status is that of the last line. Anything else ends the run, and what was done stays
// done; but if it is to be atomic, all lines are done or none.
func (e *Env) restore(ctx context.Context, out *bufio.Writer, in io.Reader, atomic bool) error {
	if atomic {
		return e.restoreAtomic(ctx, in, nil)
	}
	var last error
	err := eachRule(in, func(line ruleLine) error {
		last = nil
		r, err := e.parse(ctx, line.words)
		switch {
		case err != nil:
		case r.cmd == cmdRestore:
			err = e.tryHelp() // there is only one standard input
		default:
			err = e.do(ctx, out, r)
		}
		if err == nil {
			if r.cmd == cmdHelp || r.cmd == cmdVersion {
				return errDone
			}
			return nil
		}
		var f *failure
		if !errors.As(err, &f) {
			f = fail("%v", err)
		}
		out.Flush() //nolint:errcheck // the next write has the error again
		fmt.Fprintf(e.Stderr, "line %d: %s\n", line.number, f.text)
		last = &failure{status: f.status} // told already
		if !f.goesOn {
			return last
		}
		return nil
	})
	switch {
	case errors.Is(err, errDone):
		return nil
	case err != nil:
		return err
	}
	return last
}

// errDone ends the reading of rules early, without a failure: ipvsadm exits when it has
// printed its version.
var errDone = errors.New("done")

// restoreAtomic does all lines after the edits, or nothing.
func (e *Env) restoreAtomic(ctx context.Context, in io.Reader, edits []control.Edit) error {
	before := len(edits)
	var lines []int
	err := eachRule(in, func(line ruleLine) error {
		r, err := e.parse(ctx, line.words)
		if f := new(failure); errors.As(err, &f) {
			return &failure{status: f.status, text: nothingDone(line.number, f.text)}
		}
		edit, ok := r.edit()
		if !ok {
			return fail("%s", nothingDone(line.number, fmt.Sprintf("the command %s changes no table", r.spelled)))
		}
		edits, lines = append(edits, edit), append(lines, line.number)
		return nil
	})
	if err != nil || len(edits) == 0 {
		return err
	}
	err = e.Table.Edit(ctx, edits)
	if refused := new(control.EditError); errors.As(err, &refused) && refused.Index >= before && refused.Index < len(edits) {
		f := refusal(edits[refused.Index].Op, err)
		return &failure{status: f.status, text: nothingDone(lines[refused.Index-before], f.text)}
	}
	if err != nil {
		return refusal("", err)
	}
	return nil
}

func nothingDone(line int, text string) string {
	return fmt.Sprintf("line %d: %s; nothing was changed", line, strings.TrimSuffix(text, "\n"))
}

// Save is the command ipvsadm-save: it prints the table as commands, and with -n in numbers.
func Save(ctx context.Context, e Env, args []string) int {
	r := newRequest(cmdSave)
	for _, arg := range args {
		switch {
		case arg == "-n":
			r.given[optNumeric] = true
		case strings.HasPrefix(arg, "-"):
			fmt.Fprintf(e.Stderr, "usage: %s [-n]\nprints the service table as commands for ipvsadm-restore, with -n in numbers\n", e.Program)
			return 1
		}
	}
	return e.report(func(out *bufio.Writer) error { return e.save(ctx, out, r) })
}

// Restore is the command ipvsadm-restore: it clears the table and does the commands of
// standard input, of which lines that begin with # are left out. With --atomic, which is
// ours, it does that in one step or not at all.
func Restore(ctx context.Context, e Env, args []string) int {
	return e.report(func(out *bufio.Writer) error {
		text, err := io.ReadAll(e.Stdin)
		if err != nil {
			return fail("standard input: %v", err)
		}
		var rules strings.Builder
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "#") {
				line = "\n" // lines keep their numbers
			}
			rules.WriteString(line)
		}
		clear := []control.Edit{{Op: control.Clear}}
		if len(args) > 0 && args[0] == "--atomic" {
			return e.restoreAtomic(ctx, strings.NewReader(rules.String()), clear)
		}
		if err := e.Table.Edit(ctx, clear); err != nil {
			return refusal(control.Clear, err)
		}
		return e.restore(ctx, out, strings.NewReader(rules.String()), false)
	})
}
