package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func newCleanup(cleanup func(ctx context.Context, runDir string) (removed []string, err error)) *cobra.Command {
	return &cobra.Command{
		Use:   "cleanup",
		Short: "Remove what a killed director left on the machine",
		Long: `Remove what a director that was killed left on the machine: steering, which it
leaves in place on purpose so that clients meet silence and not resets until the
restart, virtual addresses and its socket. It prints a line for each thing that
it removes, and refuses while a director runs.`,
		Example: `  uvs cleanup
  uvs cleanup --run-dir /run/uvs-b`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			removed, err := cleanup(cmd.Context(), runDir(cmd))
			for _, r := range removed {
				fmt.Fprintln(cmd.OutOrStdout(), "removed", r)
			}
			if err != nil {
				return fmt.Errorf("cleanup: %w", err)
			}
			if len(removed) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "nothing to remove")
			}
			return nil
		},
	}
}
