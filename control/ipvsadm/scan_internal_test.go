package ipvsadm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// scan returns what a scanner makes of args: each option as its short letter or
// long name with "=argument" if one is given, then "|" and the rest; and the error.
func scan(args []string) (string, error) {
	s := &scanner{table: grammar, args: args}
	var b strings.Builder
	for {
		o, arg, given, err := s.next()
		if err != nil {
			return b.String(), err
		}
		if o == nil {
			break
		}
		name := o.long
		if o.short != 0 {
			name = string(rune(o.short))
		}
		b.WriteString(name)
		if given {
			b.WriteString("=" + arg)
		}
		b.WriteString(" ")
	}
	return b.String() + "|" + strings.Join(s.rest, " "), nil
}

// TestScan holds what libpopt 1.19 answers to the same arguments.
func TestScan(t *testing.T) {
	tests := []struct {
		args, want, wantErr string
	}{
		{"-Ln", "L n |", ""},
		{"-L -q", "L ", "-q: unknown option"},
		{"-Lqn", "L ", "-Lqn: unknown option"},
		{"-Lt", "L ", "-Lt: missing argument"},
		{"-L -t", "L ", "-t: missing argument"},
		{"-L -t=", "L t= |", ""},
		{"-L -t=1.2.3.4:80", "L t=1.2.3.4:80 |", ""},
		{"-Lnt1.2.3.4:80", "L n t=1.2.3.4:80 |", ""},
		{"-L --tcp-service=x", "L t=x |", ""},
		{"-L --tcp-service x", "L t=x |", ""},
		{"-L --tcp-service=", "L t= |", ""},
		{"-L --list=foo", "L ", "--list=foo: option does not take an argument"},
		{"-L --bogus=v", "L ", "--bogus=v: unknown option"},
		{"-L --num", "L ", "--num: unknown option"},
		{"foo -L bar", "L |foo bar", ""},
		{"-L -- a -n", "L |a -n", ""},
		{"-L -", "L |-", ""},
		{"-L -t -n", "L t=-n |", ""},
		{"-p 300 -L", "p=300 L |", ""},
		{"-p300", "p=300 |", ""},
		{"-p=5", "p=5 |", ""},
		{"-p -L", "p L |", ""},
		{"-p", "p |", ""},
		{"--persistent=5", "p=5 |", ""},
		{"--persistent -n", "p n |", ""},
		{"-list", "l i s=t |", ""},
		{"---list", "", "---list: unknown option"},
		{"-L-n", "L ", "-L-n: unknown option"},
		{"--L", "", "--L: unknown option"},
		{"--=x", "", "--=x: unknown option"},
		{"--", "|", ""},
		{"-tp x", "t=p |x", ""},
		{"--set 1 2 3", "set |1 2 3", ""},
		{"--set -1 2 3", "set ", "-1: unknown option"},
		{"-L foo -q", "L ", "-q: unknown option"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			got, err := scan(strings.Fields(tt.args))
			gotErr := ""
			if err != nil {
				gotErr = err.Error()
			}
			if got != tt.want || gotErr != tt.wantErr {
				t.Errorf("got  %q and error %q\nwant %q and error %q", got, gotErr, tt.want, tt.wantErr)
			}
		})
	}
}

// FuzzScan checks that whatever was scanned means the same when it is written out
// in full: long names with attached arguments, then the rest behind "--".
func FuzzScan(f *testing.F) {
	for _, seed := range []string{"-Ln", "-A\n-t1.2.3.4:80\n-p\n300", "--tcp-service=x\n--\n-n", "-pL", "a\n-"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, joined string) {
		args := strings.Split(joined, "\n")
		s := &scanner{table: grammar, args: slices.Clone(args)}
		var want, full []string
		for {
			o, arg, given, err := s.next()
			if err != nil {
				return
			}
			if o == nil {
				break
			}
			if o.arg == requiredArg && !given || o.arg == noArg && given {
				t.Fatalf("%q: --%s with given=%v", args, o.long, given)
			}
			text := o.spelling()
			if given {
				text += "=" + arg
			}
			full = append(full, text)
			want = append(want, fmt.Sprint(o.cmd, o.opt, given, arg))
		}
		rest := s.rest

		s = &scanner{table: grammar, args: slices.Concat(full, []string{"--"}, rest)}
		var got []string
		for {
			o, arg, given, err := s.next()
			if err != nil {
				t.Fatalf("%q written out as %q: %v", args, full, err)
			}
			if o == nil {
				break
			}
			got = append(got, fmt.Sprint(o.cmd, o.opt, given, arg))
		}
		if !slices.Equal(got, want) || !slices.Equal(s.rest, rest) {
			t.Fatalf("%q written out as %q: got %q and rest %q, want %q and rest %q", args, full, got, s.rest, want, rest)
		}
	})
}
