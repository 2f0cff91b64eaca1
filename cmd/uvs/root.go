package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"uvs/control"
)

// newRoot returns the whole command tree.
func newRoot(p process, a actions) *cobra.Command {
	root := &cobra.Command{
		Use:   "uvs [--run-dir DIR] COMMAND",
		Short: "A virtual server in user space: IPVS, keepalived's checks and ipvsadm in one program",
		Long: `uvs forwards TCP, UDP and SCTP for virtual addresses to real servers, as IPVS does
in the kernel, checks the servers as keepalived does, reads keepalived's
configuration, and is changed live as ipvsadm does it. It needs no kernel module.

Settings of the program itself are flags. Each flag marked with [$NAME] can
also be given by that environment variable; the flag wins.`,
		Example: `  uvs check /etc/keepalived/keepalived.conf
  uvs run -f /etc/keepalived/keepalived.conf
  uvs status
  uvs ipvsadm -Ln
  uvs reload`,
		Args:                  atMost(0),
		RunE:                  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		DisableFlagsInUseLine: true,
		SilenceErrors:         true, // report does both
		SilenceUsage:          true,
		TraverseChildren:      true, // --run-dir may stand before the command, also before ipvsadm
		PersistentPreRunE:     func(cmd *cobra.Command, _ []string) error { return applyEnv(cmd.Flags(), p.env) },
	}
	// The usage line above says it already.
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "\n  {{.CommandPath}} [command]", "", 1))
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())}
	})
	root.PersistentFlags().String(runDirFlag, control.DefaultRunDir, "`DIR` of the control socket and other state, one for each director")
	twin(root.PersistentFlags(), runDirFlag)

	root.AddCommand(
		newRun(p, a.run),
		newCheck(a.check, a.checkHost),
		newConvert(),
		newStatus(),
		newReload(),
		newSysctl(),
		newIpvsadm(p),
		newKeepalived(p, a),
		newCleanup(a.cleanup),
		newDemo(p, a.demo),
		newVersion(),
	)
	return root
}

// runDirFlag is the flag that every command has.
const runDirFlag = "run-dir"

// runDir returns the run directory that a command was given.
func runDir(cmd *cobra.Command) string { return cmd.Flag(runDirFlag).Value.String() }

// runDirOf returns the run directory where there are no flags of ours.
func runDirOf(p process) string {
	if dir, ok := p.env(envName(runDirFlag)); ok {
		return dir
	}
	return control.DefaultRunDir
}

// atMost refuses more than n arguments, and names a similar command if there is one.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) <= n {
			return nil
		}
		if !cmd.HasParent() {
			similar := ""
			if names := cmd.SuggestionsFor(args[0]); len(names) > 0 {
				similar = fmt.Sprintf(" (similar: %s)", strings.Join(names, ", "))
			}
			return usageError{fmt.Errorf("%q is not a command%s; see `%s --help`", args[0], similar, cmd.CommandPath())}
		}
		return usageError{fmt.Errorf("unexpected argument %q; see `%s --help`", args[n], cmd.CommandPath())}
	}
}

// The environment twins of flags: --max-connections is UVS_MAX_CONNECTIONS.

const twinAnnotation = "uvs_environment_twin"

// envName returns the name of a flag's twin.
func envName(flag string) string {
	return "UVS_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// twin gives flags their environment twins and says so in their help.
func twin(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		f := flags.Lookup(name)
		f.Usage += " [$" + envName(name) + "]"
		if f.Annotations == nil {
			f.Annotations = map[string][]string{}
		}
		f.Annotations[twinAnnotation] = []string{envName(name)}
	}
}

// applyEnv sets flags that are not on the command line from their twins. Twins that
// are set but empty count as set.
func applyEnv(flags *pflag.FlagSet, env func(string) (string, bool)) (err error) {
	flags.VisitAll(func(f *pflag.Flag) {
		names := f.Annotations[twinAnnotation]
		if err != nil || f.Changed || len(names) == 0 {
			return
		}
		if text, ok := env(names[0]); ok {
			if serr := f.Value.Set(text); serr != nil {
				err = usageError{fmt.Errorf("environment variable %s=%q: %w", names[0], text, serr)}
			}
			f.Changed = true // as if it stood on the command line
		}
	})
	return err
}
