package ipvsadm

import (
	"fmt"
	"strings"
)

// An argKind says whether an option takes an argument.
type argKind int

const (
	noArg       argKind = iota
	requiredArg         // the next argument whatever it looks like, also "-n"
	optionalArg         // the next argument unless there is none or it begins with "-"
)

// An option is one spelling of the grammar. Either name may be missing.
type option struct {
	short byte   // 0 if it has only a long name
	long  string // without dashes
	arg   argKind

	// What it means: a command or, if cmd is noCommand, an option of one.
	cmd commandID
	opt optionID
}

// A scanner splits arguments into options as popt(3) does: short options cluster
// ("-Ln"), an argument may be attached ("-t1.2.3.4:80", "-t=…", "--tcp-service=…")
// or follow, long names are matched whole, options may stand after other
// arguments, and "--" ends them.
type scanner struct {
	table []option
	args  []string // not yet looked at
	whole string   // the argument in work, for messages
	chars string   // what is left of a cluster of short options
	rest  []string // arguments that are not options
}

// A scanError is a malformed option, in popt's words.
type scanError struct {
	arg    string // the whole argument it stood in
	reason string
}

func (e *scanError) Error() string { return fmt.Sprintf("%s: %s", e.arg, e.reason) }

// next returns the next option with its argument, which is given = false for an
// optional one that is not there. At the end it returns a nil option; then rest is
// complete. Errors are *scanError and end the scan.
func (s *scanner) next() (o *option, arg string, given bool, err error) {
	for s.chars == "" {
		if len(s.args) == 0 {
			return nil, "", false, nil
		}
		s.whole, s.args = s.args[0], s.args[1:]
		switch {
		case s.whole == "--":
			s.rest, s.args = append(s.rest, s.args...), nil
		case len(s.whole) < 2 || s.whole[0] != '-':
			s.rest = append(s.rest, s.whole)
		case strings.HasPrefix(s.whole, "--"):
			return s.long(s.whole[2:])
		default:
			s.chars = s.whole[1:]
		}
	}
	return s.short()
}

// long finds the option of the text after "--".
func (s *scanner) long(text string) (*option, string, bool, error) {
	name, value, attached := strings.Cut(text, "=")
	for i := range s.table {
		o := &s.table[i]
		if o.long == "" || o.long != name {
			continue
		}
		if attached && o.arg == noArg {
			return nil, "", false, &scanError{s.whole, "option does not take an argument"}
		}
		return s.argument(o, value, attached)
	}
	return nil, "", false, &scanError{s.whole, "unknown option"}
}

// short takes the next letter of a cluster.
func (s *scanner) short() (*option, string, bool, error) {
	letter := s.chars[0]
	s.chars = s.chars[1:]
	for i := range s.table {
		o := &s.table[i]
		if o.short != letter {
			continue
		}
		if o.arg == noArg && strings.HasPrefix(s.chars, "=") {
			s.chars = ""
			return nil, "", false, &scanError{s.whole, "option does not take an argument"}
		}
		if o.arg == noArg || s.chars == "" {
			return s.argument(o, "", false)
		}
		value := strings.TrimPrefix(s.chars, "=")
		s.chars = ""
		return s.argument(o, value, true)
	}
	s.chars = ""
	return nil, "", false, &scanError{s.whole, "unknown option"}
}

// argument completes o with what was attached to it or with the next argument.
func (s *scanner) argument(o *option, value string, attached bool) (*option, string, bool, error) {
	switch {
	case o.arg == noArg:
		return o, "", false, nil
	case attached:
		return o, value, true, nil
	case len(s.args) > 0 && (o.arg == requiredArg || !strings.HasPrefix(s.args[0], "-")):
		value, s.args = s.args[0], s.args[1:]
		return o, value, true, nil
	case o.arg == optionalArg:
		return o, "", false, nil
	}
	return nil, "", false, &scanError{s.whole, "missing argument"}
}
