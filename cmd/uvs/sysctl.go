package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"uvs/control"
)

// sysctlPrefix is where the kernel has IPVS's settings.
const sysctlPrefix = "net.ipv4.vs."

func newSysctl() *cobra.Command {
	format := choice{"table", []string{"table", "json"}}
	cmd := &cobra.Command{
		Use:   "sysctl [NAME[=VALUE]]...",
		Short: "Show or change IPVS's settings (net.ipv4.vs.*) of the running director",
		Long: `Show or change IPVS's settings of the running director. Names are the kernel's,
with or without net.ipv4.vs. in front. Without arguments all are shown; those that
have no effect here say why. "uvs run --vs" sets them at the start.

drop_entry, drop_packet and secure_tcp defend against floods: 0 is never, 3 always,
and 1 as long as fewer than amemthresh pages of memory are free; then they read 2.`,
		Example: `  uvs sysctl
  uvs sysctl expire_nodest_conn
  uvs sysctl net.ipv4.vs.expire_nodest_conn=1 sloppy_tcp=1`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			director := control.Dial(runDir(cmd))
			var shown []string
			for _, arg := range args {
				name, value, set := strings.Cut(arg, "=")
				name = strings.TrimPrefix(strings.TrimSpace(name), sysctlPrefix)
				shown = append(shown, name)
				if !set {
					continue
				}
				if err := director.SetSysctl(cmd.Context(), name, strings.TrimSpace(value)); err != nil {
					return fmt.Errorf("sysctl: %w", err)
				}
			}
			list, err := director.Sysctls(cmd.Context())
			if err != nil {
				return err
			}
			list, err = pickSysctls(list, shown)
			if err != nil {
				return err
			}
			if format.value == "json" {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(list)
			}
			for _, s := range list {
				line := sysctlPrefix + s.Name + " = " + s.Value
				if s.Unserved != "" {
					line += "  # no effect: " + s.Unserved
				}
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			return nil
		},
	}
	cmd.Flags().VarP(&format, "output", "o", "form of the output")
	return cmd
}

// pickSysctls keeps the settings of the names, all if there are none.
func pickSysctls(list []control.Sysctl, names []string) ([]control.Sysctl, error) {
	if len(names) == 0 {
		return list, nil
	}
	byName := make(map[string]control.Sysctl, len(list))
	for _, s := range list {
		byName[s.Name] = s
	}
	var picked []control.Sysctl
	for _, name := range names {
		s, ok := byName[name]
		if !ok {
			return nil, fmt.Errorf("sysctl: there is no setting %q; `uvs sysctl` lists them", name)
		}
		picked = append(picked, s)
	}
	return picked, nil
}
