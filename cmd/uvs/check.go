package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// A verdict is what `uvs check` found out about a file.
type verdict struct {
	diagnostics []string // one line each, in the order of the file
	errors      int      // how many of them are something that will not run as written
	plan        string   // what would run, as lines of text
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
			fmt.Fprint(cmd.OutOrStdout(), v.plan)
			if v.errors > 0 {
				return exitStatus(exitError)
			}
			return nil
		},
	}
}
