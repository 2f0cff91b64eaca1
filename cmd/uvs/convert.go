package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/spf13/cobra"

	"uvs/config/ldirectord"
)

func newConvert() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "convert",
		Short: "Write keepalived.conf from the configuration of something else",
		Args:  atMost(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConvertLdirectord())
	return cmd
}

func newConvertLdirectord() *cobra.Command {
	return &cobra.Command{
		Use:   "ldirectord FILE",
		Short: "Write the keepalived.conf that does what an ldirectord.cf does",
		Long: `Write the keepalived.conf that does what an ldirectord.cf does, to standard
output. Each directive that has no equivalent is a warning with its place on
standard error, and says what does it instead. Names of hosts are resolved now.

The exit status is 1 if the file has errors, which ldirectord would not start with;
nothing is written then.`,
		Example: `  uvs convert ldirectord /etc/ha.d/ldirectord.cf >keepalived.conf
  uvs check keepalived.conf`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{fmt.Errorf("convert which FILE? see `%s --help`", cmd.CommandPath())}
			}
			return atMost(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return fmt.Errorf("convert: %w", err)
			}
			conf, found := ldirectord.Convert(args[0], string(text), resolver(cmd.Context()))
			for i := range found {
				fmt.Fprintln(cmd.ErrOrStderr(), found[i].Error())
			}
			if found.HasErrors() {
				return exitStatus(exitError)
			}
			fmt.Fprint(cmd.OutOrStdout(), conf)
			return nil
		},
	}
}

// resolver asks this machine's.
func resolver(ctx context.Context) ldirectord.Resolver {
	return ldirectord.Resolver{
		Host: func(name string, v6 bool) (netip.Addr, error) {
			network := "ip4"
			if v6 {
				network = "ip6"
			}
			list, err := net.DefaultResolver.LookupNetIP(ctx, network, name)
			if err != nil {
				return netip.Addr{}, err
			}
			return list[0].Unmap(), nil
		},
		Port: func(protocol, service string) (uint16, error) {
			n, err := net.DefaultResolver.LookupPort(ctx, protocol, service)
			return uint16(n), err
		},
	}
}
