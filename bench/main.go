package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := bench(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// options is what the command line asks for.
type options struct {
	name       string
	dir        string
	parameters Parameters
	directors  []build
	contenders string // names with commas between them; empty for all
	scenarios  string // likewise
}

func bench(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	field, err := choose("contender", contenders(o.directors), contenderName, o.contenders)
	if err != nil {
		return err
	}
	loads, err := choose("scenario", scenarios(), scenario.name, o.scenarios)
	if err != nil {
		return err
	}
	if err := checkPrograms(field, loads); err != nil {
		return err
	}
	raw, err := newRawFile(o.dir, o.name)
	if err != nil {
		return err
	}
	defer raw.close()
	machine := thisMachine(ctx)
	if err := raw.write(machine); err != nil {
		return err
	}
	var runs []Run
	err = measureAll(ctx, o.parameters, loads, field, func(r Run) error {
		runs = append(runs, r)
		fmt.Fprintf(stderr, "round %d/%d  %-16s %-10s %-10s %8.2f %s  CPU %3.0f %%\n", r.Round, o.parameters.Rounds,
			r.Contender, r.Scenario, r.Case, r.Value, r.Unit, 100*r.CPU)
		return raw.write(r)
	})
	if err != nil {
		return err
	}
	results := summarise(o, machine, loads, field, runs)
	text := results.markdown()
	if err := results.save(o.dir, text); err != nil {
		return err
	}
	_, err = io.WriteString(stdout, text)
	return err
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.name, "name", "latest", "`name` of the results' files")
	f.StringVar(&o.dir, "o", "bench/results", "`directory` for the results")
	f.IntVar(&o.parameters.Rounds, "rounds", 5, "`number` of rounds")
	f.IntVar(&o.parameters.Seconds, "seconds", 4, "length of each measurement")
	f.IntVar(&o.parameters.WarmUp, "warm-up", 1, "`seconds` of the same load before each measurement, discarded")
	f.Uint64Var(&o.parameters.Seed, "seed", 1, "`number` that the contenders' order in each round is drawn from")
	f.StringVar(&o.contenders, "contenders", "", "`names` of contenders to run, with commas (default all)")
	f.StringVar(&o.scenarios, "scenarios", "", "`names` of scenarios to run, with commas (default all)")
	f.Func("uvs", "a build of uvs to measure: `[NAME=]PATH [ARGS]`, repeatable (default bin/uvs);\nargs are those of uvs run, and NAME makes the contender uvs-nat-NAME", func(text string) error {
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
	if len(o.directors) == 0 {
		o.directors = []build{{path: "bin/uvs"}}
	}
	if p := o.parameters; p.Rounds < 1 || p.Seconds < 1 || p.WarmUp < 1 {
		return o, fmt.Errorf("%d rounds of %d s after %d s: want 1 or more of each", p.Rounds, p.Seconds, p.WarmUp)
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

// A program is one that must be installed.
type program struct{ name, pkg string }

// checkPrograms tells, before anything is measured, what is not installed.
func checkPrograms(field []contender, loads []scenario) error {
	needs := []program{{"ethtool", "ethtool"}}
	for _, c := range field {
		needs = append(needs, c.needs...)
	}
	for _, s := range loads {
		needs = append(needs, s.needs()...)
	}
	var missing []error
	for _, p := range needs {
		if _, err := exec.LookPath(p.name); err == nil {
			continue
		}
		if p.pkg == "" {
			missing = append(missing, fmt.Errorf("%s is missing: build it (make build)", p.name))
		} else {
			missing = append(missing, fmt.Errorf("%s is missing: install the Debian package %s", p.name, p.pkg))
		}
	}
	return errors.Join(missing...)
}
