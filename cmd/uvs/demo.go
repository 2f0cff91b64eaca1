package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"uvs/internal/demo"
)

// exitInterrupted is what a shell reports of a program that SIGINT ended.
const exitInterrupted = 130

// demoActions are what `uvs demo` does.
type demoActions struct {
	available func() error // why it cannot run here, or nil
	run       func(context.Context, demo.Options) error
}

func newDemo(p process, a demoActions) *cobra.Command {
	mode := choice{"all", []string{"nat", "dr", "both", "vrrp", "all"}}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a whole site at work in network namespaces, and clean up",
		Long: `Build a client, a director and three real servers in network namespaces, all of
them from this program alone; send requests through the director by NAT and by
direct routing; kill one server under load, bring it back, and show who answers
and how fast the death was noticed. Then two directors by VRRP: the master is
killed, comes back and is stopped, and what clients notice of it is measured.
It takes about forty seconds and needs root.

Nothing outside the namespaces is touched, and nothing is left however it ends.
The exit status is 0 only if everything went as it must, and 130 after Ctrl-C.`,
		Example: `  sudo uvs demo
  sudo uvs demo --mode dr --plain | tee demo.txt`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.available(); err != nil {
				return fmt.Errorf("demo: %w; please run it as root (`sudo make demo`); `uvs check FILE` needs no rights", err)
			}
			exe, err := os.Executable()
			if err != nil {
				return fmt.Errorf("demo: %w", err)
			}
			plain, _ := cmd.Flags().GetBool("plain")
			o := demo.Options{Executable: exe, Modes: demoModes(mode.value), Out: p.stdout}
			if !plain {
				o.Live, o.Unicode = demo.Terminal(p.stdout, p.env)
			}
			err = a.run(cmd.Context(), o)
			switch {
			case err == nil:
				return nil
			case errors.Is(err, context.Canceled):
				fmt.Fprintln(p.stderr, "uvs: demo: interrupted; everything that was built is gone")
				return exitStatus(exitInterrupted)
			}
			return fmt.Errorf("demo: %w", err)
		},
	}
	cmd.Flags().Var(&mode, "mode", "what to show: one director by nat, dr or both, two by vrrp, or all")
	cmd.Flags().Bool("plain", false, "plain lines of ASCII, also on a terminal")
	cmd.AddCommand(newDemoServe())
	return cmd
}

func demoModes(word string) []demo.Mode {
	switch word {
	case "nat":
		return []demo.Mode{demo.NAT}
	case "dr":
		return []demo.Mode{demo.DR}
	case "both":
		return []demo.Mode{demo.NAT, demo.DR}
	case "vrrp":
		return []demo.Mode{demo.Pair}
	}
	return []demo.Mode{demo.NAT, demo.DR, demo.Pair}
}

// newDemoServe is what the demo's real servers run.
func newDemoServe() *cobra.Command {
	port := number{max: 65535}
	cmd := &cobra.Command{
		Use:    "serve",
		Short:  "Answer HTTP as a real server of the demo",
		Args:   atMost(0),
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, _ := cmd.Flags().GetString("name")
			l, err := new(net.ListenConfig).Listen(cmd.Context(), "tcp", net.JoinHostPort("", strconv.Itoa(port.value)))
			if err != nil {
				return fmt.Errorf("demo serve: %w", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is ready on %s\n", name, l.Addr())
			return demo.Serve(cmd.Context(), l, name)
		},
	}
	cmd.Flags().String("name", "server", "what the server calls itself")
	cmd.Flags().Var(&port, "port", "TCP port, 0 for any")
	return cmd
}
