package main

import (
	"encoding/json"
	"io"

	"github.com/spf13/cobra"

	"uvs/control"
	"uvs/control/statusview"
)

func newStatus() *cobra.Command {
	format := choice{"table", []string{"table", "json"}}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the running director: interfaces, addresses, services, health, drops",
		Long: `Show the state of the running director: its interfaces and workers, its virtual
addresses, every configured service and server with health, weight and next hop,
what was dropped and why, and what the operator should know.

The field names of the JSON form are stable.`,
		Example: `  uvs status
  uvs status -o json | jq '.services[].servers[] | select(.state != "up")'
  uvs status --run-dir /run/uvs-b`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := control.Dial(runDir(cmd)).Status(cmd.Context())
			if err != nil {
				return err
			}
			if format.value == "json" {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(s)
			}
			_, err = io.WriteString(cmd.OutOrStdout(), statusview.Render(s))
			return err
		},
	}
	cmd.Flags().VarP(&format, "output", "o", "form of the output")
	return cmd
}
