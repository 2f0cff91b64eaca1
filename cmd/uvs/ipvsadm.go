package main

import (
	"context"
	"strings"

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
			dir, args := ownFlag(runDir(cmd), args)
			if status := runIpvsadm(cmd.Context(), p, cmd.CommandPath(), dir, args); status != 0 {
				return exitStatus(status)
			}
			return nil
		},
	}
}

// ownFlag takes --run-dir out of ipvsadm's arguments, where it is as natural to write as in
// front of the command. ipvsadm has no option of that name.
func ownFlag(dir string, args []string) (string, []string) {
	const flag = "--" + runDirFlag
	rest := make([]string, 0, len(args))
	for i := 0; i < len(args); i++ {
		value, joined := strings.CutPrefix(args[i], flag+"=")
		switch {
		case joined:
			dir = value
		case args[i] == flag && i+1 < len(args):
			i++
			dir = args[i]
		default:
			rest = append(rest, args[i])
		}
	}
	return dir, rest
}

// runIpvsadm answers an ipvsadm command line and returns its exit status.
func runIpvsadm(ctx context.Context, p process, program, runDir string, args []string) int {
	return ipvsadm.Run(ctx, ipvsadm.Env{
		Program: program,
		Stdin:   p.stdin,
		Stdout:  p.stdout,
		Stderr:  p.stderr,
		Table:   control.Dial(runDir),
		Lookup:  ipvsadm.SystemLookup(),
	}, args)
}
