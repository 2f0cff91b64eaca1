//go:build netns

package steer_test

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
	"uvs/internal/steer"
)

// backends are tested alike.
var backends = []steer.Backend{steer.TCX, steer.Clsact, steer.NFT, steer.Iptables}

// forEachBackend runs a test once with every backend.
func forEachBackend(t *testing.T, f func(t *testing.T, b steer.Backend)) {
	netlab.Require(t)
	for _, b := range backends {
		t.Run(string(b), func(t *testing.T) { f(t, b) })
	}
}

// inside runs f in the host's network namespace.
func inside(t testing.TB, h *netlab.Host, f func() error) {
	t.Helper()
	if err := h.Do(f); err != nil {
		t.Fatal(err)
	}
}

// open returns a Steerer of the host that is closed with the test.
func open(t testing.TB, h *netlab.Host, b steer.Backend) *steer.Steerer {
	t.Helper()
	var s *steer.Steerer
	inside(t, h, func() (err error) {
		s, err = steer.Open(b)
		return err
	})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// apply applies rules on the host.
func apply(t testing.TB, h *netlab.Host, s *steer.Steerer, r steer.Rules) {
	t.Helper()
	inside(t, h, func() error { return s.Apply(r) })
}

// cleanup removes all steering of the host and returns what it was.
func cleanup(t testing.TB, h *netlab.Host) []string {
	t.Helper()
	var removed []string
	inside(t, h, func() (err error) {
		removed, err = steer.Cleanup()
		return err
	})
	return removed
}

// index returns the index of an interface of the host.
func index(t testing.TB, h *netlab.Host, ifname string) int {
	t.Helper()
	return device(t, h, ifname).Index
}

// device returns an interface of the host.
func device(t testing.TB, h *netlab.Host, ifname string) *net.Interface {
	t.Helper()
	var ifi *net.Interface
	inside(t, h, func() (err error) {
		ifi, err = net.InterfaceByName(ifname)
		return err
	})
	return ifi
}

// dump describes all that filters packets in the host's namespace: the nft ruleset, which
// iptables' is part of, the qdiscs, and the filters and tcx programs of each device in
// their order.
func dump(t testing.TB, h *netlab.Host) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(labtest.Run(t, h, "nft", "-a", "list", "ruleset"))
	b.WriteString(labtest.Run(t, h, "tc", "qdisc"))
	inside(t, h, func() error {
		devices, err := net.Interfaces()
		if err != nil {
			return err
		}
		for _, d := range devices {
			programs, err := programsOn(d.Index)
			if err != nil {
				return err
			}
			for _, p := range programs {
				fmt.Fprintf(&b, "tcx %s: %s\n", d.Name, p)
			}
			for _, side := range []string{"ingress", "egress"} {
				out, err := exec.Command("tc", "filter", "show", "dev", d.Name, side).CombinedOutput()
				if err != nil {
					return fmt.Errorf("tc filter show dev %s %s: %w: %s", d.Name, side, err, out)
				}
				for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
					if line != "" {
						fmt.Fprintf(&b, "tc %s %s: %s\n", d.Name, side, strings.TrimSpace(line))
					}
				}
			}
		}
		return nil
	})
	return b.String()
}

// programsOn lists the programs at the ingress of a device of this namespace as "name id".
func programsOn(index int) (list []string, err error) {
	q, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: ebpf.AttachTCXIngress})
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

// foreignProgram loads a program of someone else that ends with the verdict.
func foreignProgram(t testing.TB, name string, verdict int32) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: name, Type: ebpf.SchedCLS, AttachType: ebpf.AttachTCXIngress, License: "Apache-2.0",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, verdict), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// isRefused reports whether the stack of the other side answered that nobody listens.
func isRefused(err error) bool {
	return err != nil && strings.Contains(err.Error(), "connection refused")
}

// isTimeout reports whether nobody answered at all.
func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// patience is how long an answer that must not come is waited for. One that comes takes
// well under a millisecond.
const patience = 300 * time.Millisecond
