package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// keepalivedOptions is keepalived's command line (keepalived(8), 2.2.7) as far as it means
// something here.
type keepalivedOptions struct {
	file, id  string
	test      string // where findings go: "-" is standard error
	detail    bool
	version   bool
	vrrpOnly  bool
	checkOnly bool
	namespace string
	signal    string // whose number is asked for
}

// testToStderr is what -t means without a file.
const testToStderr = "-"

// newKeepalived answers keepalived's command line, for unit files and scripts.
func newKeepalived(p process, a actions) *cobra.Command {
	var o keepalivedOptions
	cmd := &cobra.Command{
		Use:   "keepalived [-t[FILE]] [-f FILE] [-i ID] [OPTION ...]",
		Short: "Answer keepalived's command line: test a configuration, or run it",
		Long: `Answer the command line of keepalived 2.2.7. A link to uvs with the name
keepalived does the same.

With -t test the configuration and leave with keepalived's own exit status: 0 if
there is nothing to report, 5 if something was reported and keepalived would run
nevertheless, 6 if scripts are run without enable_script_security, 2 if a keyword
lacks its parameter, 4 if there is no configuration that can be run (also for a file
that does not exist, with which keepalived 2.2.7 is content).

Without -t run the configuration in the foreground, as "uvs run -f FILE" does. Flags
that tune keepalived's processes, log and files are taken and do nothing; those that
would have it do something else (one half alone, another namespace) are refused.
The signals by which keepalived writes its data to files, those of DATA, STATS,
STATS_CLEAR and JSON, do nothing.`,
		Example: `  uvs keepalived -t -f /etc/keepalived/keepalived.conf
  uvs keepalived --dont-fork --log-console`,
		Args:                  cobra.ArbitraryArgs, // keepalived names them and goes on
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, arg := range args {
				fmt.Fprintf(cmd.ErrOrStderr(), "Unexpected argument: %s\n", arg)
			}
			switch {
			case o.version:
				fmt.Fprintf(cmd.OutOrStdout(), "uvs %s, in the place of keepalived 2.2.7\n", version())
				return nil
			case cmd.Flags().Changed("signum"):
				return printSignal(cmd.OutOrStdout(), o.signal)
			case cmd.Flags().Changed("config-test"):
				return testConfig(a, o, cmd.ErrOrStderr())
			case o.vrrpOnly != o.checkOnly: // both together are all of it, as old scripts say it
				return usageError{errors.New("keepalived: --vrrp or --check alone runs one half of keepalived; uvs runs both in one process, leave them out")}
			case o.namespace != "":
				return usageError{fmt.Errorf("keepalived: --namespace is not served; use `ip netns exec %s`", o.namespace)}
			}
			return runAsKeepalived(cmd.Context(), p, a, o, runDir(cmd))
		},
	}
	o.addFlags(cmd.Flags())
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("keepalived: %w; see `%s --help`", keepalivedWords(err), cmd.CommandPath())
	})
	return cmd
}

// keepalivedWords says of an option what keepalived says, which leaves with status 1 then.
func keepalivedWords(err error) error {
	var unknown *pflag.NotExistError
	var bare *pflag.ValueRequiredError
	option := func(name, shorthands string) string {
		if shorthands != "" {
			return "-" + name
		}
		return "--" + name
	}
	switch {
	case errors.As(err, &unknown):
		return errors.New("Unknown option " + option(unknown.GetSpecifiedName(), unknown.GetSpecifiedShortnames()))
	case errors.As(err, &bare):
		return errors.New("Missing parameter for option " + option(bare.GetSpecifiedName(), bare.GetSpecifiedShortnames()))
	}
	return err
}

// addFlags adds keepalived's flags. Those that steer its processes, its log and its files
// are taken and mean nothing: there is one process, which logs to standard error.
func (o *keepalivedOptions) addFlags(f *pflag.FlagSet) {
	f.StringVarP(&o.file, "use-file", "f", defaultConfig, "configuration `FILE`")
	addConfigID(f, &o.id)
	f.StringVarP(&o.test, "config-test", "t", testToStderr, "test the configuration; findings go to standard error, or to `FILE`")
	f.Lookup("config-test").NoOptDefVal = testToStderr
	f.BoolVarP(&o.detail, "log-detail", "D", false, "detailed log messages")
	f.BoolVarP(&o.version, "version", "v", false, "display the version")
	f.BoolVarP(&o.vrrpOnly, "vrrp", "P", false, "refused without --check: both halves run in one process")
	f.BoolVarP(&o.checkOnly, "check", "C", false, "refused without --vrrp: both halves run in one process")
	f.StringVarP(&o.namespace, "namespace", "s", "", "refused: use `ip netns exec`")
	f.StringVar(&o.signal, "signum", "", "print the number of a signal: `STOP`, RELOAD, DATA, STATS, STATS_CLEAR or JSON")
	for _, x := range []struct{ name, short string }{
		{"no_bfd", "B"}, {"all", ""}, {"log-console", "l"}, {"no-syslog", "G"}, {"release-vips", "X"},
		{"dont-release-vrrp", "V"}, {"dont-release-ipvs", "I"}, {"dont-respawn", "R"}, {"dont-fork", "n"}, {"dump-conf", "d"},
		{"address-monitoring", "a"}, {"snmp", "x"}, {"core-dump", "m"}, {"all-config", "e"},
	} {
		f.BoolP(x.name, x.short, false, "taken for keepalived's sake, without effect")
	}
	for _, x := range []struct{ name, short string }{
		{"log-facility", "S"}, {"umask", "u"}, {"pid", "p"}, {"vrrp_pid", "r"}, {"checkers_pid", "c"}, {"bfd_pid", "b"},
		{"snmp-agent-socket", "A"}, {"core-dump-pattern", "M"},
	} {
		f.StringP(x.name, x.short, "", "taken for keepalived's sake, without effect")
	}
}

// printSignal answers --signum, which unit files and scripts find the signal to send by.
func printSignal(w io.Writer, name string) error {
	// As glibc has them, with whose help keepalived counts: it keeps the first two real-time signals to itself.
	const sigrtmin, sigrtmax = 34, 64
	number, ok := map[string]syscall.Signal{
		"STOP": syscall.SIGTERM, "RELOAD": syscall.SIGHUP, "DATA": syscall.SIGUSR1, "STATS": syscall.SIGUSR2,
		"STATS_CLEAR": sigrtmax - 1, "JSON": sigrtmin + 2,
	}[name]
	if !ok {
		return fmt.Errorf("keepalived: Unknown sigfunc %s (have: DATA, JSON, RELOAD, STATS, STATS_CLEAR, STOP)", name)
	}
	_, err := fmt.Fprintln(w, int(number))
	return err
}

// testConfig prints the findings about a configuration, one line each, and leaves with
// keepalived's exit status.
func testConfig(a actions, o keepalivedOptions, stderr io.Writer) (err error) {
	findings, exit, err := a.test(o.file, o.id)
	if err != nil {
		return fmt.Errorf("keepalived: %w", err)
	}
	out := stderr
	if o.test != testToStderr {
		log, err := os.Create(o.test)
		if err != nil {
			return fmt.Errorf("keepalived --config-test: %w", err)
		}
		defer func() { err = errors.Join(err, log.Close()) }()
		out = log
	}
	for _, line := range findings {
		fmt.Fprintln(out, line)
	}
	if exit != 0 {
		return exitStatus(exit)
	}
	return nil
}

// runAsKeepalived runs a director with keepalived's words.
func runAsKeepalived(ctx context.Context, p process, a actions, o keepalivedOptions, dir string) error {
	level := slog.LevelInfo
	if o.detail {
		level = slog.LevelDebug
	}
	return a.run(ctx, runOptions{
		file: o.file, configID: o.id, runDir: dir, steer: "auto", io: "auto", ftpPorts: []uint16{21}, healthWait: defaultHealthWait, maxProbes: defaultMaxProbes, realtime: defaultRealtime,
		log: slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: level})),
	})
}
