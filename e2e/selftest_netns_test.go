//go:build netns

package e2e

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// startEmpty starts a director without a configuration, to be built by ipvsadm.
func startEmpty(t *testing.T, h *netlab.Host, args ...string) *director {
	t.Helper()
	d := &director{t: t, host: h, bin: labtest.Binary(t)}
	// Plain `uvs run`: nobody has /etc/keepalived/keepalived.conf here.
	if _, err := os.Stat("/etc/keepalived/keepalived.conf"); err == nil {
		args = append([]string{"-f", ""}, args...)
	}
	d.proc = labtest.Start(t, h, d.bin, append([]string{"run"}, args...)...)
	d.waitReady()
	return d
}

// ipvsadmName makes a link to uvs with the name that scripts call.
func ipvsadmName(t *testing.T) string {
	t.Helper()
	link := filepath.Join(t.TempDir(), "ipvsadm")
	if err := os.Symlink(labtest.Binary(t), link); err != nil {
		t.Fatal(err)
	}
	return link
}

// The addresses of the kernel's self-test of IPVS.
const (
	selfVIP      = "207.175.44.110"
	selfClient   = "10.0.0.1"
	selfGateway  = "10.0.0.2"
	selfSource   = "10.0.0.3" // the server's, beside the client
	selfDirector = "172.16.0.1"
	selfServer   = "172.16.0.2"
	selfPort     = "8080"
)

// A selfTest is the site of the kernel's self-test: a client with a bridge, to which the
// director and, for the direct way back, the server are connected; the director has the
// virtual address on lo and another link to the server.
type selfTest struct {
	t                        *testing.T
	client, director, server *netlab.Host
}

func newSelfTest(t *testing.T) *selfTest {
	t.Helper()
	site := labtest.New(t)
	s := &selfTest{t: t, client: labtest.Host(t, site, "ns0"), director: labtest.Host(t, site, "ns1"), server: labtest.Host(t, site, "ns2")}
	for _, c := range []struct {
		a     *netlab.Host
		aName string
		b     *netlab.Host
		bName string
	}{
		{s.client, "veth01", s.director, "veth10"},
		{s.client, "veth02", s.server, "veth20"},
		{s.director, "veth12", s.server, "veth21"},
	} {
		if err := site.Connect(c.a, c.aName, c.b, c.bName); err != nil {
			t.Fatal(err)
		}
	}
	s.ip(s.client, "link add br0 type bridge")
	s.ip(s.client, "link set veth01 master br0")
	s.ip(s.client, "link set veth02 master br0")
	s.ip(s.client, "link set br0 up")
	s.ip(s.client, "address add "+selfClient+"/24 dev br0")
	s.ip(s.director, "address add "+selfGateway+"/24 dev veth10")
	s.ip(s.director, "address add "+selfDirector+"/24 dev veth12")
	s.ip(s.director, "address add "+selfVIP+"/32 dev lo")
	s.ip(s.server, "address add "+selfSource+"/24 dev veth20")
	s.ip(s.server, "address add "+selfServer+"/24 dev veth21")
	s.ip(s.client, "route add "+selfVIP+" via "+selfGateway+" dev br0")
	return s
}

func (s *selfTest) ip(h *netlab.Host, command string) {
	s.t.Helper()
	labtest.Run(s.t, h, "ip", strings.Fields(command)...)
}

// transfer sends a file by netcat to the virtual address and compares what the server got.
func (s *selfTest) transfer() {
	t := s.t
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	sent := make([]byte, 1<<20)
	rand.Read(sent) //nolint:errcheck // never fails
	if err := os.WriteFile(in, sent, 0o644); err != nil {
		t.Fatal(err)
	}
	listener := labtest.Start(t, s.server, "sh", "-c", "exec nc.openbsd -l "+selfPort+" >"+out)
	labtest.Eventually(t, labtest.Hang, func() error {
		if list := labtest.Run(t, s.server, "ss", "-Hltn", "sport = :"+selfPort); list == "" {
			return fmt.Errorf("nobody listens: %s", listener.Output())
		}
		return nil
	})
	labtest.Run(t, s.client, "sh", "-c", fmt.Sprintf("timeout 10 nc.openbsd -N -w 5 %s %s <%s", selfVIP, selfPort, in))
	select {
	case <-listener.Done():
	case <-time.After(labtest.Hang):
		t.Fatal("the server's netcat does not end")
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came of %d, %v", len(got), len(sent), err)
	}
}

// TestKernelSelfTest is the scenario of the kernel's own test of IPVS
// (tools/testing/selftests/net/netfilter/ipvs.sh): the virtual address on lo, a service set
// up by ipvsadm alone, data by netcat; direct routing, then NAT.
func TestKernelSelfTest(t *testing.T) {
	ipvsadm := ipvsadmName(t)
	for _, forward := range []string{"1", "0"} {
		t.Run("ip_forward "+forward, func(t *testing.T) {
			s := newSelfTest(t)
			if err := s.director.Sysctl("net.ipv4.ip_forward", forward); err != nil {
				t.Fatal(err)
			}
			d := startEmpty(t, s.director)
			run := func(command string) string {
				t.Helper()
				return labtest.Run(t, s.director, ipvsadm, strings.Fields(command)...)
			}
			service := "-t " + selfVIP + ":" + selfPort

			run("-A " + service + " -s rr")
			run("-a " + service + " -r " + selfServer + ":" + selfPort + " -g")
			s.ip(s.server, "address add "+selfVIP+"/32 dev lo")
			for _, name := range []string{"all", "veth20", "veth21"} {
				if err := s.server.Sysctl("net.ipv4.conf."+name+".rp_filter", "0"); err != nil {
					t.Fatal(err)
				}
			}
			s.transfer()
			listed(t, run("-L -n"), "Route", 1)

			run("-C")
			s.ip(s.server, "address del "+selfVIP+"/32 dev lo")
			s.ip(s.server, "link del veth20")
			s.ip(s.server, "route add default via "+selfDirector+" dev veth21")
			run("-A " + service + " -s rr")
			run("-a " + service + " -r " + selfServer + ":" + selfPort + " -m")
			s.transfer()
			// The server came back within two minutes, and its connections with it.
			listed(t, run("-L -n"), "Masq", 2)
			d.stop()
		})
	}
}

// listed wants the service with one server, its method and so many inactive connections.
func listed(t *testing.T, list, method string, inactive int) {
	t.Helper()
	want := fmt.Sprintf("TCP  %s:%s rr\n  -> %-28s %-7s 1      0          %-10d\n", selfVIP, selfPort, selfServer+":"+selfPort, method, inactive)
	if !strings.HasSuffix(list, want) {
		t.Errorf("the list does not end with\n%s\n%s", want, list)
	}
}
