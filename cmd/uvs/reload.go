package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"uvs/control"
)

func newReload() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Make the running director read its configuration again",
		Long: `Make the running director read its configuration again, as SIGHUP does, and
show what changed. A file with errors changes nothing, and the exit status is 1.

Services that stay keep their connections, counters and health. What an operator
changed with ipvsadm stays, unless the file changed that very entry.`,
		Example: `  uvs check /etc/keepalived/keepalived.conf && uvs reload`,
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := control.Dial(runDir(cmd)).Reload(cmd.Context())
			if err != nil {
				return err
			}
			for _, note := range r.Notes {
				fmt.Fprintln(cmd.ErrOrStderr(), note)
			}
			for _, change := range r.Changes {
				fmt.Fprintln(cmd.OutOrStdout(), change)
			}
			if len(r.Changes) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "nothing changed")
			}
			return nil
		},
	}
}
