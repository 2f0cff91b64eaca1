//go:build netns && guest

package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestGuestSCTP: the kernel's own SCTP speaks through the director by NAT, with another port, and
// by direct routing, over both families; the states are those of IPVS.
func TestGuestSCTP(t *testing.T) {
	modprobe(t, "sctp")
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			top := m.site(t, netlab.Plan{Servers: 2, NoVIP: true})
			config := strings.ReplaceAll(uncheck(m.config(top)), "protocol TCP", "protocol SCTP")
			d := startDirector(t, top.Directors[0], config)
			for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
				t.Run(family(vip), func(t *testing.T) { sctp(t, d, top, m, vip) })
			}
		})
	}
}

// socat's address of an SCTP endpoint.
func socatEnd(word string, a netip.Addr, port int, options string) string {
	if a.Is6() {
		return fmt.Sprintf("SCTP6%s:%s,pf=ip6,%s", strings.Replace(word, "ADDR", "["+a.String()+"]", 1), fmt.Sprint(port), options)
	}
	return fmt.Sprintf("SCTP4%s:%d,%s", strings.Replace(word, "ADDR", a.String(), 1), port, options)
}

func sctp(t *testing.T, d *director, top *netlab.Topology, m mode, vip netip.Addr) {
	client := top.Clients[0]
	addr := func(h *netlab.Host) netip.Addr {
		if vip.Is6() {
			return h.Addr6("eth0")
		}
		return h.Addr4("eth0")
	}
	bind := func(a netip.Addr) string {
		if a.Is6() {
			return "bind=[" + a.String() + "]"
		}
		return "bind=" + a.String()
	}
	for _, h := range top.Servers {
		at := addr(h)
		if m.kind == "DR" {
			at = vip
		}
		// One address each: those that an INIT names beside are nobody's to translate.
		labtest.Start(t, h, "socat", socatEnd("-LISTEN", at, m.port, bind(at)+",fork,reuseaddr"),
			fmt.Sprintf("SYSTEM:echo %s; read line; echo $line back", h.Name()))
	}
	// SCTP itself would try for minutes.
	speak := func(words string) (string, error) {
		return client.Run(t.Context(), "sh", "-c", fmt.Sprintf("(%s) | timeout 60 socat -t 5 - '%s'", words, socatEnd(":ADDR", vip, 80, bind(addr(client))+",connect-timeout=30")))
	}
	ask := func() string {
		out, err := speak("sleep 3; echo word; sleep 3")
		if err != nil {
			return fmt.Sprintf("%v: %s", err, out)
		}
		return out
	}
	seen := make(map[string]bool)
	labtest.Eventually(t, 20*time.Second*slowness, func() error { // until the servers listen
		if out, err := speak("sleep 1; echo word; sleep 1"); err != nil || !strings.Contains(out, "server") {
			return fmt.Errorf("no server answers: %v: %s", err, out)
		}
		return nil
	})
	done := make(chan string)
	go func() { done <- ask() }()
	labtest.Eventually(t, 20*time.Second*slowness, func() error {
		if list := d.uvs("ipvsadm", "-L", "-n", "-c"); !strings.Contains(list, "\nSCTP 1") || !strings.Contains(list, " ESTABLISHED ") {
			return fmt.Errorf("no established association is listed:\n%s", list)
		}
		return nil
	})
	for _, out := range []string{<-done, ask()} {
		name, rest, _ := strings.Cut(strings.TrimSpace(out), "\n")
		seen[name] = true
		if rest != "word back" {
			t.Errorf("the answer is %q", out)
		}
	}
	if !seen["server1"] || !seen["server2"] {
		t.Errorf("rr brought two associations to %v", seen)
	}
	if list := d.uvs("ipvsadm", "-L", "-n", "-c"); !strings.Contains(list, " CLOSED ") {
		t.Errorf("no ended association is listed as CLOSED:\n%s", list)
	}
	if list := d.uvs("ipvsadm", "-L", "-n"); !strings.Contains(list, "SCTP "+netip.AddrPortFrom(vip, 80).String()+" rr") {
		t.Errorf("the service is not listed:\n%s", list)
	}
}
