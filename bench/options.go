package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"uvs/bench/outcome"
)

// options is what the command line of run asks for.
type options struct {
	name       string
	dir        string
	parameters outcome.Parameters
	directors  []build
	perf       string // directory for profiles, empty for none
	contenders string // names with commas between them; empty for all
	scenarios  string // likewise
}

// The values of -softirq.
const (
	softirqDirector = "director"
	softirqSender   = "sender"
)

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	p := &o.parameters
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, "bench [run] [FLAGS]             measure\n"+
			"bench compare BEFORE AFTER      find what got worse from one result file to another\n"+
			"bench report [REPORT.md]        write tables and plots of result files into a report\n\n")
		f.PrintDefaults()
	}
	f.StringVar(&o.name, "name", "latest", "`name` of the results' files")
	f.StringVar(&o.dir, "o", "bench/results", "`directory` for the results")
	f.IntVar(&p.Rounds, "rounds", 5, "`number` of rounds")
	f.Float64Var(&p.Seconds, "seconds", 0.8, "length of each measurement; those by iperf3 and wrk take whole seconds")
	f.Float64Var(&p.WarmUp, "warm-up", 0.2, "`seconds` of the same load before each measurement, discarded")
	f.Uint64Var(&p.Seed, "seed", 1, "`number` that the contenders' order in each round is drawn from")
	f.StringVar(&p.Profile, "profile", string(standing), "which cases, and how often what takes long: quick, default, full, guest")
	short := f.Bool("quick", false, "short for -profile quick -rounds 1 -seconds 0.2 -warm-up 0.05: does it work?")
	f.StringVar(&p.Softirq, "softirq", softirqDirector, "whose `core` receives for the director's interfaces: director (by RPS) or sender")
	f.StringVar(&o.perf, "perf", "", "`directory` for perf's profiles of the director's core, of each measurement; they cost a little themselves")
	f.StringVar(&o.contenders, "contenders", "", "`names` of contenders to run, with commas (default all)")
	f.StringVar(&o.scenarios, "scenarios", "", "`names` of scenarios to run, with commas (default all)")
	f.Func("uvs", "a build of uvs to measure: `[NAME=]PATH [ARGS]`, repeatable (default bin/uvs as it is and with other\nsettings); args are those of uvs run, and NAME makes the contenders uvs-nat-NAME and uvs-dr-NAME", func(text string) error {
		b, err := parseBuild(text)
		o.directors = append(o.directors, b)
		return err
	})
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if *short {
		p.Profile, p.Rounds, p.Seconds, p.WarmUp = string(quick), 1, 0.2, 0.05
	}
	if len(o.directors) == 0 {
		o.directors = standard()
	}
	if p.Rounds < 1 || p.Seconds < 0.1 || p.WarmUp <= 0 {
		return o, fmt.Errorf("%d rounds of %g s after %g s: want 1 round or more, 0.1 s or more, and some warm-up", p.Rounds, p.Seconds, p.WarmUp)
	}
	for _, choice := range []struct {
		flag, value string
		have        []string
	}{
		{"profile", p.Profile, []string{string(quick), string(standing), string(full), string(guest)}},
		{"softirq", p.Softirq, []string{softirqDirector, softirqSender}},
	} {
		if !slices.Contains(choice.have, choice.value) {
			return o, fmt.Errorf("-%s %q: want one of %s", choice.flag, choice.value, strings.Join(choice.have, ", "))
		}
	}
	return o, nil
}

// choose returns those of all whose names are in list, in the order of all.
func choose[T any](what string, all []T, name func(T) string, list string) ([]T, error) {
	if list == "" {
		return all, nil
	}
	wanted := strings.Split(list, ",")
	var have []string
	chosen := slices.DeleteFunc(slices.Clone(all), func(x T) bool {
		have = append(have, name(x))
		return !slices.Contains(wanted, name(x))
	})
	for _, w := range wanted {
		if !slices.Contains(have, w) {
			return nil, fmt.Errorf("%q is not a %s (have: %s)", w, what, strings.Join(have, ", "))
		}
	}
	return chosen, nil
}
