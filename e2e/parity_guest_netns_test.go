//go:build netns && guest

package e2e

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"uvs/internal/netlab/labtest"
	"uvs/internal/parity"
	"uvs/internal/wire"
)

// A kernelWorld plays scripts with a director that is the kernel's IPVS.
type kernelWorld struct{ *wiredDirector }

var _ parity.World = (*kernelWorld)(nil)

// Reset implements parity.World. A new network namespace has an IPVS of its own.
func (w *kernelWorld) Reset(t *testing.T) {
	t.Helper()
	w.close()
	w.wiredDirector = newWiredDirector(t)
}

func (w *kernelWorld) close() {
	if w.wiredDirector != nil {
		w.wiredDirector.close()
		w.wiredDirector = nil
	}
}

// Sysctl implements parity.World. With conntrack a rule has the kernel's own track connections,
// which IPVS's helper for FTP needs to change what is said on them.
func (w *kernelWorld) Sysctl(t *testing.T, name, value string) {
	t.Helper()
	if name == "conntrack" {
		labtest.Run(t, w.host, "iptables-legacy", "-A", "INPUT", "-m", "conntrack", "--ctstate", "ESTABLISHED", "-j", "ACCEPT")
	}
	if err := w.host.Sysctl("net.ipv4.vs."+name, value); err != nil {
		t.Fatal(err)
	}
}

// Ipvsadm implements parity.World.
func (w *kernelWorld) Ipvsadm(t *testing.T, args []string) (stdout, stderr string, status int) {
	t.Helper()
	return w.run(t, "ipvsadm", args)
}

// Seen implements parity.World. The director answers a ping on each side when it has dealt
// with all that came before.
func (w *kernelWorld) Seen(t *testing.T) (seen []parity.Frame, left int) {
	t.Helper()
	const echo, reply, mark = 8, 0, 0x75767321
	for _, s := range []parity.Side{parity.Clients, parity.Servers} {
		from := parity.Router()
		if s == parity.Servers {
			from = parity.Server(parity.ServerCount)
		}
		p := parity.Packet{
			Src: netip.AddrPortFrom(from.Addrs[0], 0), Dst: netip.AddrPortFrom(s.Prefixes()[0].Addr(), 0),
			Proto: wire.ProtoICMP, TTL: 64, Kind: echo, Rest: mark,
		}
		w.Send(t, parity.FrameTo(s, from.MAC, p.Bytes()))
	}
	for _, s := range []parity.Side{parity.Servers, parity.Clients} {
		seen = append(seen, w.until(t, s, func(ip []byte) bool {
			if ip[0]>>4 != 4 || ip[9] != wire.ProtoICMP || len(ip) < wire.IPv4Len+wire.ICMPLen {
				return false
			}
			message := wire.ICMP(ip[wire.IPv4(ip).HeaderLen():])
			return message.Type() == reply && message.Rest() == mark
		})...)
	}
	return seen, 0
}

// prepareKernel loads IPVS and lifts the bounds on ICMP errors, which count in time.
func prepareKernel(t *testing.T) {
	t.Helper()
	modprobe(t, "ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_lc", "ip_vs_wlc", "ip_vs_sed", "ip_vs_nq", "ip_vs_sh", "ip_vs_dh", "ip_vs_mh",
		"ip_vs_lblc", "ip_vs_lblcr", "ip_vs_fo", "ip_vs_ovf", "ip_vs_ftp",
		"ipip", "ip6_tunnel", "ip_gre", "sctp", "ip_tables", "xt_conntrack", "nf_nat")
	for _, name := range []string{"icmp_msgs_per_sec", "icmp_msgs_burst"} {
		if err := os.WriteFile("/proc/sys/net/ipv4/"+name, []byte("1000000"), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGuestIPVS plays the scripts of package parity with the kernel's IPVS, and wants the
// answers that they hold, then plays them with uvs in the same machine. With PARITY_RECORD set
// it writes the scripts with the kernel's answers to $VM_OUT instead (scripts/ipvs-record.sh).
// PARITY is a pattern of their names, for others than a few.
func TestGuestIPVS(t *testing.T) {
	prepareKernel(t)
	pattern := os.Getenv("PARITY")
	if pattern == "" {
		pattern = "one*" // all of them take an hour where there is no KVM
	}
	pattern = filepath.Join("../internal/parity/testdata", pattern+".txt")
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts %s: %v", pattern, err)
	}
	out := ""
	if os.Getenv("PARITY_RECORD") != "" {
		out = os.Getenv("VM_OUT")
	}
	var version unix.Utsname
	if err := unix.Uname(&version); err != nil {
		t.Fatal(err)
	}
	t.Logf("Linux %s", unix.ByteSliceToString(version.Release[:]))
	for _, file := range files {
		t.Run("kernel/"+strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			pinThread(t)
			w := &kernelWorld{}
			defer w.close()
			s := parity.Read(t, file)
			s.Play(t, w, func(e *parity.Entry, got []string) {
				if out != "" {
					e.Kernel = got
					return
				}
				e.Differs = "" // that is of ours
				compareInTime(t, e, file, got)
			})
			if out != "" {
				if err := os.WriteFile(filepath.Join(out, filepath.Base(file)), []byte(s.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	if out == "" {
		t.Run("uvs", func(t *testing.T) { playUVS(t, pattern) })
	}
}
