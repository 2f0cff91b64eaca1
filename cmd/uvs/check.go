package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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
	elections []string // lines about vrrp_instances
	// peerErrors is how many diagnostics are about files of peers, or about what does not
	// fit together.
	peerErrors int
}

func newCheck(check func(from source, peers []string) (verdict, error), checkHost func(ctx context.Context, from source) ([]control.Finding, error)) *cobra.Command {
	var host bool
	var id, extra string
	var peers []string
	cmd := &cobra.Command{
		Use:   "check [--host] [--peer FILE]... FILE",
		Short: "Report every problem of a configuration and show what would run",
		Long: `Read a configuration as "uvs run" would, report every problem with file, line
and column, and show what would run. Nothing on the machine is changed.

With --host look this machine and its neighbours over, too, for what makes a good
configuration fail: forwarding, rp_filter, offloads, MTUs, real servers whose
gateway is another router (NAT) or that answer ARP for a virtual address (DR), and
firewall rules, which forwarded packets do not pass. It asks the links and the
servers with ARP, neighbour discovery and pings, which takes a second or two, and
needs CAP_NET_ADMIN and CAP_NET_RAW. A running director does the same; see
"uvs status".

For each vrrp_instance it says how soon it takes over. With --peer, the
configuration of another director of the same virtual routers, it says who becomes
MASTER, why, and who follows, while all that is tracked is up; and it names what
makes two of them MASTER at a time, each with its place: another password,
interval, version, list of addresses, VRID or destination.

The exit status is 1 if anything in the file will not run as written: a value
that is refused, an unknown word, a block that is skipped. Deprecated words, values
that are adjusted as keepalived adjusts them, and words that this version does not
serve yet are warnings and notes and leave it at 0. A problem found by --host or
--peer makes it 1, too. "uvs run" runs what is left of a file with errors, as
keepalived does, unless it is given --strict; "uvs reload" refuses it.`,
		Example: `  uvs check /etc/keepalived/keepalived.conf
  uvs check --host /etc/keepalived/keepalived.conf
  uvs check node-a.conf --peer node-b.conf --peer node-c.conf
  uvs check -i a shared.conf --peer shared.conf,b
  uvs check new.conf && cp new.conf /etc/keepalived/keepalived.conf`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{fmt.Errorf("check which FILE? see `%s --help`", cmd.CommandPath())}
			}
			return atMost(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			from := source{args[0], id, extra}
			v, err := check(from, peers)
			if err != nil {
				return fmt.Errorf("check: %w", err)
			}
			for _, d := range v.diagnostics {
				fmt.Fprintln(cmd.ErrOrStderr(), d)
			}
			fmt.Fprint(cmd.OutOrStdout(), v.summary(args[0]))
			problems := v.errors+v.peerErrors > 0
			if host {
				findings, err := checkHost(cmd.Context(), from)
				if err != nil {
					return fmt.Errorf("check --host: %w", err)
				}
				fmt.Fprint(cmd.OutOrStdout(), hostSummary(findings))
				problems = problems || slices.ContainsFunc(findings, func(f control.Finding) bool { return f.Problem })
			}
			if problems {
				return exitStatus(exitError)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&host, "host", false, "look the machine and its neighbours over, too")
	cmd.Flags().StringArrayVar(&peers, "peer", nil, "elect a master among FILE and this `FILE[,ID]` of another director; may be repeated")
	addConfigID(cmd.Flags(), &id)
	addExtra(cmd.Flags(), &extra)
	return cmd
}

// addConfigID adds keepalived's flag of that name.
func addConfigID(f *pflag.FlagSet, id *string) {
	f.StringVarP(id, "config-id", "i", "", "take the lines that begin with @`ID`; the machine's name if it is not given")
}

// addExtra adds the flag for what keepalived.conf has no words for.
func addExtra(f *pflag.FlagSet, file *string) {
	f.StringVar(file, "extra", "", "read also this `FILE` with what is beyond keepalived.conf")
}

// hostSummary says what was found on the machine.
func hostSummary(findings []control.Finding) string {
	if len(findings) == 0 {
		return "\nThis machine and its neighbours: nothing found\n"
	}
	return "\nThis machine and its neighbours:\n\n" + statusview.RenderHost(findings)
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
	if len(v.elections) > 0 {
		plan += "\n" + strings.Join(v.elections, "\n") + "\n"
	}
	switch {
	case v.refused:
		return fmt.Sprintf("%s: %s; uvs run refuses it\n", file, result)
	case plan == "":
		return fmt.Sprintf("%s: %s; there is nothing to run\n", file, result)
	}
	return fmt.Sprintf("%s: %s; this would run:\n\n%s", file, result, plan)
}
