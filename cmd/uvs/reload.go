package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"uvs/control"
)

func newReload() *cobra.Command {
	var how control.Reloading
	format := choice{"text", []string{"text", "json"}}
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Make the running director read its configuration again",
		Long: `Make the running director read its configuration again, as SIGHUP does, and
show what changed, a line each. It changes over to the whole file or, with an
exit status of 1 and one line that says why, to nothing of it: a file with errors
is refused, and so is one that asks for what the machine does not give, such as a
socket for VRRP or a pipe where a directory is.

Services that stay keep their connections, counters and health, and instances of
VRRP their roles. What an operator changed with ipvsadm stays, unless the file
changed that very entry.

With --dry-run nothing is changed, and the lines say what would be, also of the
connections of servers that leave (removed_servers of the extra file).`,
		Example: `  uvs check /etc/keepalived/keepalived.conf && uvs reload
  uvs reload --dry-run
  uvs reload --dry-run -o json | jq -r '.changes[]'`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := control.Dial(runDir(cmd)).Reload(cmd.Context(), how)
			if err != nil {
				return err
			}
			if format.value == "json" {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(r)
			}
			for _, note := range r.Notes {
				fmt.Fprintln(cmd.ErrOrStderr(), note)
			}
			for _, change := range r.Changes {
				fmt.Fprintln(cmd.OutOrStdout(), change)
			}
			switch {
			case len(r.Changes) > 0:
			case how.DryRun:
				fmt.Fprintln(cmd.OutOrStdout(), "nothing would change")
			default:
				fmt.Fprintln(cmd.OutOrStdout(), "nothing changed")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&how.DryRun, "dry-run", false, "change nothing and show what would change")
	cmd.Flags().VarP(&format, "output", "o", "form of the output")
	return cmd
}
