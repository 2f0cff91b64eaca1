package ipvsadmtest

import (
	"fmt"
	"strconv"
	"strings"
)

// A Transcript of testdata/captured is a list of commands with what the real ipvsadm and
// a kernel's IPVS answered to them. scripts/ipvsadm-captures.sh has the answers written.
// Each line begins with what it is:
//
//	# a comment
//	== a case; it begins with an empty table, timeouts 900 120 300 and no local address
//	~ local ADDRESS           the director has the address
//	~ send A:P N SIZE B:P     a client sends N datagrams with SIZE bytes from one socket to
//	                          the service A:P, whose only server B:P takes them
//	+ a line of /proc/net/ip_vs_conn under its title, from here on
//	$ a command line of ipvsadm, split at blanks; 'a b' is one word
//	% a file of /proc/net
//	< a line of the command's standard input ("<|": without a newline)
//	- a line of standard error that ours has instead of the real one's
//	> a line of its standard output
//	! a line of its standard error
//	? its exit status, if it is not 0
//
// In the lines of a command \r, \t, \f and \v stand for themselves.
type Transcript []*Entry

// An Entry is one line of a transcript, and the answer if it is a command.
type Entry struct {
	Line  int    // in the file, from 1
	Kind  string // the line's first word
	Text  string // what follows the blank
	Stdin string
	Ours  string // standard error of ours where it differs
	Real  Answer
}

// An Answer is what a command answers.
type Answer struct {
	Stdout, Stderr string
	Status         int
}

// Parse reads the text of a transcript.
func Parse(text string) (Transcript, error) {
	var tr Transcript
	var last *Entry
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		kind, rest, _ := strings.Cut(line, " ")
		switch kind {
		case "", "#", "==", "~", "+":
			last = nil
			tr = append(tr, &Entry{Line: i + 1, Kind: kind, Text: rest})
			continue
		case "$", "%":
			last = &Entry{Line: i + 1, Kind: kind, Text: rest}
			tr = append(tr, last)
			continue
		}
		if last == nil {
			return nil, fmt.Errorf("line %d: %q does not follow a command", i+1, line)
		}
		switch kind {
		case "<":
			last.Stdin += unescape(rest) + "\n"
		case "<|":
			last.Stdin += unescape(rest)
		case "-":
			last.Ours += unescape(rest) + "\n"
		case ">":
			last.Real.Stdout += unescape(rest) + "\n"
		case "!":
			last.Real.Stderr += unescape(rest) + "\n"
		case "?":
			status, err := strconv.Atoi(rest)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			last.Real.Status = status
		default:
			return nil, fmt.Errorf("line %d: %q is none of a transcript's lines", i+1, line)
		}
	}
	return tr, nil
}

// String is what Parse reads.
func (tr Transcript) String() string {
	var b strings.Builder
	line := func(kind, text string) {
		if text = strings.TrimSuffix(text, "\n"); text != "" {
			kind += " " + text
		}
		b.WriteString(kind + "\n")
	}
	for _, e := range tr {
		line(e.Kind, e.Text)
		for l := range strings.Lines(e.Stdin) {
			kind := "<"
			if !strings.HasSuffix(l, "\n") {
				kind = "<|"
			}
			line(kind, escape(l))
		}
		for l := range strings.Lines(e.Ours) {
			line("-", escape(l))
		}
		for l := range strings.Lines(e.Real.Stdout) {
			line(">", escape(l))
		}
		for l := range strings.Lines(e.Real.Stderr) {
			line("!", escape(l))
		}
		if e.Real.Status != 0 {
			line("?", strconv.Itoa(e.Real.Status))
		}
	}
	return b.String()
}

// escape writes what an editor would hide or change in a line.
func escape(text string) string {
	return strings.NewReplacer("\r", `\r`, "\t", `\t`, "\f", `\f`, "\v", `\v`).Replace(text)
}

// unescape is the inverse of escape.
func unescape(text string) string {
	return strings.NewReplacer(`\r`, "\r", `\t`, "\t", `\f`, "\f", `\v`, "\v").Replace(text)
}
