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
	"strings"
	"syscall"

	"uvs/bench/outcome"
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

// bench runs the command line: a word, or flags alone for "run".
func bench(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "run":
			args = args[1:]
		case "compare":
			return compare(args[1:], stdout, stderr)
		case "report":
			return report(args[1:], stderr)
		default:
			return fmt.Errorf("%q is not a command (have: run, compare, report)", args[0])
		}
	}
	return run(ctx, args, stdout, stderr)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	field, err := choose("contender", contenders(o.directors), contenderName, o.contenders)
	if err != nil {
		return err
	}
	loads, err := choose("scenario", scenarios(profile(o.parameters.Profile)), scenarioName, o.scenarios)
	if err != nil {
		return err
	}
	field, skipped := available(field, o.contenders)
	for _, reason := range skipped {
		fmt.Fprintln(stderr, reason)
	}
	var further []program
	if o.perf != "" {
		further = append(further, program{"perf", "linux-perf"})
	}
	if err := checkPrograms(field, loads, further...); err != nil {
		return err
	}
	raw, err := outcome.NewRawFile(o.dir, o.name)
	if err != nil {
		return err
	}
	defer raw.Close()
	defer conntrackRoom()()
	results := outcome.Results{Name: o.name, Parameters: o.parameters, Machine: thisMachine(ctx, "bench "+strings.Join(args, " "))}
	if err := raw.Write(results.Machine); err != nil {
		return err
	}
	for _, c := range field {
		results.Contenders = append(results.Contenders, outcome.Contender{Name: c.name, About: c.about})
	}
	for _, l := range loads {
		results.Loads = append(results.Loads, l.about())
	}
	var runs []outcome.Run
	c := contest{parameters: o.parameters, loads: loads, field: field, profiler: profiler{o.perf, newCores().director}, record: func(r outcome.Run) error {
		runs = append(runs, r)
		progress(stderr, o.parameters.Rounds, r)
		return raw.Write(r)
	}}
	failure := c.run(ctx)
	if failure != nil {
		results.Incomplete = failure.Error() // what was measured before is not lost
	}
	summary := outcome.Summarise(results, targetsOf(profile(o.parameters.Profile)), runs)
	if err := summary.Save(o.dir); err != nil {
		return errors.Join(failure, err)
	}
	_, err = io.WriteString(stdout, summary.Markdown())
	return errors.Join(failure, err)
}

func progress(w io.Writer, rounds int, r outcome.Run) {
	limit := ""
	if r.Limit != "" {
		limit = "  limited by: " + r.Limit
	}
	fmt.Fprintf(w, "round %d/%d  %-11s %-20s %-16s %10.4g %s  CPU %3.0f %%%s\n", r.Round, rounds,
		r.Scenario, r.Case, r.Contender, r.Value, r.Unit, 100*r.CPU, limit)
}

// compare prints what changed from one result to another, and fails if something got worse.
func compare(args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("bench compare", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintln(stderr, "bench compare [-tolerance 0.05] BEFORE.json AFTER.json: what changed by more than spread and tolerance; exit status 1 if something got worse")
		f.PrintDefaults()
	}
	tolerance := f.Float64("tolerance", 0.05, "`part` by which medians may differ")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() != 2 {
		return fmt.Errorf("compare: want two results such as bench/results/latest.json, have %d", f.NArg())
	}
	before, err := outcome.Read(f.Arg(0))
	if err != nil {
		return err
	}
	after, err := outcome.Read(f.Arg(1))
	if err != nil {
		return err
	}
	c := outcome.Compare(before, after, *tolerance)
	if _, err := io.WriteString(stdout, c.String()); err != nil {
		return err
	}
	if c.Compared == 0 {
		return errors.New("the results have no row in common that can be compared")
	}
	if n := c.Regressions(); n > 0 {
		return fmt.Errorf("%d of %d rows got worse", n, c.Compared)
	}
	return nil
}

// A program is one that must be installed: a name, or the path of a file.
type program struct{ name, pkg string }

// checkPrograms tells, before anything is measured, what is not installed.
func checkPrograms(field []contender, loads []scenario, further ...program) error {
	needs := append([]program{{"ethtool", "ethtool"}}, further...)
	for _, c := range field {
		needs = append(needs, c.needs...)
	}
	for _, s := range loads {
		needs = append(needs, s.needs()...)
	}
	var missing []error
	seen := make(map[program]bool)
	for _, p := range needs {
		if seen[p] {
			continue
		}
		seen[p] = true
		if _, err := exec.LookPath(p.name); err == nil || strings.HasSuffix(p.name, ".so") && exists(p.name) {
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
