//go:build netns && guest

package ipvsadm_test

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"uvs/control/ipvsadm/ipvsadmtest"
)

// TestCapture plays the transcripts of testdata/captured with the real ipvsadm in a guest
// whose kernel has IPVS, and writes them with its answers to $VM_OUT.
// scripts/ipvsadm-captures.sh runs it.
func TestCapture(t *testing.T) {
	out := os.Getenv("VM_OUT")
	if out == "" {
		t.Fatal("this test changes the machine's IPVS table: run scripts/ipvsadm-captures.sh")
	}
	guestCommand(t, "modprobe", "-a", "ip_vs", "ip_vs_pe_sip", "dummy")
	for name, text := range map[string]string{
		"/etc/hosts": ipvsadmtest.Hosts, "/etc/services": ipvsadmtest.Services, "/etc/nsswitch.conf": "hosts: files\nservices: files\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob("testdata/captured/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tr, err := ipvsadmtest.Parse(string(text))
			if err != nil {
				t.Fatal(err)
			}
			w := &guest{dir: t.TempDir()}
			tr.Play(t, w, func(e *ipvsadmtest.Entry, got ipvsadmtest.Answer) { e.Real = got })
			w.Reset(t)
			if err := os.WriteFile(filepath.Join(out, filepath.Base(file)), []byte(tr.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func guestCommand(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// A guest is the machine that the test runs in.
type guest struct {
	dir    string // that stands in for /proc/net if conns is set
	conns  bool
	locals []netip.Addr
}

func (g *guest) Reset(t *testing.T) {
	t.Helper()
	guestCommand(t, "ipvsadm", "-C")
	guestCommand(t, "ipvsadm", "--set", "900", "120", "300")
	for _, a := range g.locals {
		guestCommand(t, "ip", "address", "delete", a.String(), "dev", "lo")
	}
	g.locals, g.conns = nil, false
}

func (g *guest) Local(t *testing.T, a netip.Addr) {
	t.Helper()
	guestCommand(t, "ip", "address", "add", a.String(), "dev", "lo")
	g.locals = append(g.locals, a)
}

func (g *guest) Send(t *testing.T, to netip.AddrPort, datagrams, size int, server netip.AddrPort) {
	t.Helper()
	l, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(server))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	payload := make([]byte, size)
	for range datagrams {
		if _, err := c.Write(payload); err != nil {
			t.Fatal(err)
		}
	}
	// IPVS adds up what its processors have counted every 2 s.
	guestCommand(t, "sleep", "5")
}

// Connections lets the next commands find lines in /proc/net/ip_vs_conn.
func (g *guest) Connections(t *testing.T, procLines []string) {
	t.Helper()
	text := "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n" + strings.Join(procLines, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(g.dir, "ip_vs_conn"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	g.conns = true
}

func (g *guest) Run(t *testing.T, args []string, stdin string) (a ipvsadmtest.Answer) {
	t.Helper()
	const program = "/sbin/ipvsadm"
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Args = append([]string{"ipvsadm"}, args...)
	if g.conns {
		// A mount on a process's own directory of /proc outlives only an exec.
		script := "mount --bind " + strconv.Quote(g.dir) + ` /proc/$$/net && exec -a ipvsadm ` + program + ` "$@"`
		cmd = exec.CommandContext(t.Context(), "unshare", append([]string{"-m", "bash", "-c", script, "ipvsadm"}, args...)...)
	}
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		a.Status = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	a.Stdout, a.Stderr = out.String(), errs.String()
	return a
}

func (g *guest) ProcFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("/proc/net/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
