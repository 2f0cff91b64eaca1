package main

import (
	"context"

	"github.com/spf13/cobra"

	"uvs/control"
	"uvs/control/ipvsadm"
)

func newIpvsadm(p process) *cobra.Command {
	return &cobra.Command{
		Use:   "ipvsadm [ARGUMENT ...]",
		Short: "Answer ipvsadm's command line from the running director",
		Long: `Answer the command line of ipvsadm 1.31 from the running director, with ipvsadm's
output and exit statuses. A link to uvs with the name ipvsadm does the same.
"uvs ipvsadm -h" shows what is served.`,
		Example: `  uvs ipvsadm -Ln
  uvs ipvsadm -Lnc
  uvs --run-dir /run/uvs-b ipvsadm -Ln -t 192.0.2.10:80`,
		DisableFlagParsing: true, // -h and all others are ipvsadm's
		RunE: func(cmd *cobra.Command, args []string) error {
			if status := runIpvsadm(cmd.Context(), p, cmd.CommandPath(), runDir(cmd), args); status != 0 {
				return exitStatus(status)
			}
			return nil
		},
	}
}

// runIpvsadm answers an ipvsadm command line and returns its exit status.
func runIpvsadm(ctx context.Context, p process, program, runDir string, args []string) int {
	return ipvsadm.Run(ctx, ipvsadm.Env{
		Program: program,
		Stdout:  p.stdout,
		Stderr:  p.stderr,
		Table:   control.Dial(runDir),
		Lookup:  ipvsadm.SystemLookup(),
	}, args)
}
