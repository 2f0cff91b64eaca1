//go:build netns

package e2e

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// dump describes all that a director could leave on a host: filters and programs,
// addresses, links, routes, and files below /run.
func dump(t *testing.T, h *netlab.Host) string {
	t.Helper()
	waitAddresses(t, h)
	var b strings.Builder
	for _, command := range [][]string{
		{"nft", "-a", "list", "ruleset"},
		{"ip", "-d", "address"},
		{"ip", "route", "show", "table", "all"},
		{"ip", "-6", "route", "show", "table", "all"},
		{"ip", "rule"},
		{"ip", "-6", "rule"},
		{"tc", "qdisc"},
		{"find", "/run", "!", "-type", "d"},
	} {
		fmt.Fprintf(&b, "# %s\n%s", strings.Join(command, " "), labtest.Run(t, h, command[0], command[1:]...))
	}
	err := h.Do(func() error {
		devices, err := net.Interfaces()
		if err != nil {
			return err
		}
		for _, d := range devices {
			for _, side := range []string{"ingress", "egress"} {
				out, err := exec.Command("tc", "filter", "show", "dev", d.Name, side).CombinedOutput()
				if err != nil {
					return fmt.Errorf("tc filter show dev %s %s: %w: %s", d.Name, side, err, out)
				}
				if len(out) > 0 {
					fmt.Fprintf(&b, "filters %s %s:\n%s", d.Name, side, out)
				}
			}
			for where, attach := range map[string]ebpf.AttachType{"ingress": ebpf.AttachTCXIngress, "egress": ebpf.AttachTCXEgress} {
				programs, err := programsOn(d.Index, attach)
				if err != nil {
					return err
				}
				if len(programs) > 0 {
					fmt.Fprintf(&b, "tcx %s %s: %s\n", d.Name, where, strings.Join(programs, ", "))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// waitAddresses waits until a host's IPv6 addresses are usable and have their routes: those of
// a new interface take a moment, and without a link-local one a host asks for no neighbour.
func waitAddresses(t *testing.T, h *netlab.Host) {
	t.Helper()
	labtest.Eventually(t, labtest.Hang, func() error {
		if out := labtest.Run(t, h, "ip", "-6", "address", "show", "tentative"); out != "" {
			return fmt.Errorf("%s: addresses are tentative:\n%s", h.Name(), out)
		}
		routes := labtest.Run(t, h, "ip", "-6", "route", "show", "table", "all", "type", "local")
		for line := range strings.Lines(labtest.Run(t, h, "ip", "-6", "-o", "address", "show", "up")) {
			addr, _, _ := strings.Cut(strings.Fields(line)[3], "/")
			if !strings.Contains(routes, "local "+addr+" dev ") {
				return fmt.Errorf("%s: %s has no route:\n%s", h.Name(), addr, routes)
			}
		}
		return nil
	})
}

// programsOn lists the tcx programs of a device of this namespace as "name id".
func programsOn(index int, attach ebpf.AttachType) (list []string, err error) {
	q, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: attach})
	if err != nil {
		return nil, err
	}
	for _, a := range q.Programs {
		p, err := ebpf.NewProgramFromID(a.ID)
		if err != nil {
			return nil, err
		}
		info, err := p.Info()
		if err := errors.Join(err, p.Close()); err != nil {
			return nil, err
		}
		list = append(list, fmt.Sprintf("%s %d", info.Name, a.ID))
	}
	return list, nil
}

// wantDump wants a host to be as it was, and says what is not.
func wantDump(t *testing.T, h *netlab.Host, before, when string) {
	t.Helper()
	after := dump(t, h)
	if after == before {
		return
	}
	was, is := strings.Split(before, "\n"), strings.Split(after, "\n")
	for _, line := range was {
		if !slices.Contains(is, line) {
			t.Errorf("%s: gone: %s", when, line)
		}
	}
	for _, line := range is {
		if !slices.Contains(was, line) {
			t.Errorf("%s: left: %s", when, line)
		}
	}
	if !t.Failed() {
		t.Errorf("%s: order or number changed:\n%s\nbefore:\n%s", when, after, before)
	}
}
