package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"uvs/control"
	"uvs/control/statusview"
)

// A verdict is what `uvs check` found out about a file.
type verdict struct {
	diagnostics []string // one line each, in the order of the file
	errors      int      // how many of them are something that will not run as written
	refused     bool     // `uvs run` would not start with this file

	// What would run; states, counters and next hops do not matter.
	addresses []control.Address
	services  []control.Service
}

func newCheck(check func(file string) (verdict, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Report every problem of a configuration and show what would run",
		Long: `Read a configuration as "uvs run" would, report every problem with file, line
and column, and show what would run. Nothing on the machine is changed.

The exit status is 1 if anything in the file will not run as written: a value
that is refused, an unknown word, a block that is skipped. Words that this version
does not serve yet are notes and leave the exit status at 0.`,
		Example: `  uvs check /etc/keepalived/keepalived.conf
  uvs check new.conf && cp new.conf /etc/keepalived/keepalived.conf`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{fmt.Errorf("check which FILE? see `%s --help`", cmd.CommandPath())}
			}
			return atMost(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := check(args[0])
			if err != nil {
				return fmt.Errorf("check: %w", err)
			}
			for _, d := range v.diagnostics {
				fmt.Fprintln(cmd.ErrOrStderr(), d)
			}
			fmt.Fprint(cmd.OutOrStdout(), v.summary(args[0]))
			if v.errors > 0 {
				return exitStatus(exitError)
			}
			return nil
		},
	}
}

// summary says what would run.
func (v verdict) summary(file string) string {
	result := "runs as written"
	switch {
	case v.errors == 1:
		result = "1 error"
	case v.errors > 1:
		result = fmt.Sprintf("%d errors", v.errors)
	}
	plan := statusview.RenderPlan(v.addresses, v.services)
	switch {
	case v.refused:
		return fmt.Sprintf("%s: %s; uvs run refuses it\n", file, result)
	case plan == "":
		return fmt.Sprintf("%s: %s; there is nothing to run\n", file, result)
	}
	return fmt.Sprintf("%s: %s; this would run:\n\n%s", file, result, plan)
}
