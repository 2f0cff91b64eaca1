//go:build netns

package netlab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

func TestProcessSeesItsHost(t *testing.T) {
	netlab.Require(t)
	site := labtest.New(t)
	a, b := labtest.Host(t, site, "a"), labtest.Host(t, site, "b")
	if err := site.Connect(a, "left", b, "right"); err != nil {
		t.Fatal(err)
	}
	if got, want := labtest.Run(t, a, "ls", "/sys/class/net"), "left\nlo\n"; got != want {
		t.Errorf("interfaces in /sys of a = %q, want %q", got, want)
	}
	labtest.Run(t, a, "touch", "/run/only-a")
	if got := labtest.Run(t, b, "ls", "/run"); got != "" {
		t.Errorf("/run of b holds %q, want nothing", got)
	}
	if _, err := os.Stat("/run/only-a"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a host's /run is the machine's: %v", err)
	}
	// /proc is the site's: its own process is there under the PID it sees itself.
	labtest.Run(t, a, "sh", "-c", `test "$(cat /proc/$$/comm)" = sh`)
}

func TestDescribeOpensAShell(t *testing.T) {
	netlab.Require(t)
	site := labtest.New(t)
	a, b := labtest.Host(t, site, "a"), labtest.Host(t, site, "b")
	if err := site.Connect(a, "left", b, "right"); err != nil {
		t.Fatal(err)
	}
	if err := b.AddAddr("right", netip.MustParsePrefix("192.0.2.7/24")); err != nil {
		t.Fatal(err)
	}
	text := site.Describe()
	if !strings.Contains(text, "192.0.2.7/24") {
		t.Errorf("no address of b in:\n%s", text)
	}
	var shells []string
	for line := range strings.Lines(text) {
		if command, ok := strings.CutPrefix(strings.TrimSpace(line), "shell: "); ok {
			shells = append(shells, command)
		}
	}
	if len(shells) != 2 {
		t.Fatalf("%d shells for two hosts:\n%s", len(shells), text)
	}
	for i, want := range []string{"left\nlo\n", "lo\nright\n"} {
		args := append(strings.Fields(shells[i]), "ls", "/sys/class/net")
		out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%s: %q, %v; want %q", args, out, err, want)
		}
	}
}

func TestProcessSignalsAndOutput(t *testing.T) {
	netlab.Require(t)
	h := labtest.Host(t, labtest.New(t), "a")

	p := labtest.StartCmd(t, h, netlab.Cmd{
		Name:  "sh",
		Args:  []string{"-c", `trap 'echo hup $WORD' HUP; echo started; cat; while :; do sleep 0.05; done`},
		Env:   []string{"WORD=seen"},
		Stdin: strings.NewReader("from stdin"),
	})
	if err := p.WaitOutput(labtest.Hang, "from stdin"); err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := p.WaitOutput(labtest.Hang, "hup seen"); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("Stop = %v, want nil after SIGTERM", err)
	}
	if err := p.WaitOutput(labtest.Hang, "never"); err == nil || !strings.Contains(err.Error(), "ended without writing") {
		t.Errorf("WaitOutput of an ended process = %v", err)
	}
	if _, err := h.Run(t.Context(), "sh", "-c", "echo why >&2; exit 3"); err == nil || !strings.Contains(err.Error(), "exit status 3\nwhy") {
		t.Errorf("Run of a failing command = %v, want status and output", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := h.Run(ctx, "sleep", "1000"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run past its deadline = %v", err)
	}
}

func TestDialAndListenInProcess(t *testing.T) {
	netlab.Require(t)
	top := labtest.OneArm(t, netlab.Plan{Servers: 1})
	client, server := top.Clients[0], top.Servers[0]
	for _, addr := range []string{server.Addr4("eth0").String() + ":80", "[" + server.Addr6("eth0").String() + "]:80"} {
		l, err := server.Listen(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			c, err := l.Accept()
			if err == nil {
				fmt.Fprint(c, "hello")
				c.Close()
			}
		}()
		c, err := client.DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		c.Close()
		if err != nil || string(got) != "hello" {
			t.Errorf("%s: read %q, %v", addr, got, err)
		}
	}
}

func TestDoComesBack(t *testing.T) {
	netlab.Require(t)
	site := labtest.New(t)
	a, b := labtest.Host(t, site, "a"), labtest.Host(t, site, "b")
	here := func() string {
		ns, err := os.Readlink("/proc/thread-self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		return ns
	}
	home := here()
	var inA, inB, backInA string
	err := a.Do(func() error {
		inA = here()
		if err := b.Do(func() error { inB = here(); return nil }); err != nil {
			return err
		}
		backInA = here()
		return io.EOF
	})
	if !errors.Is(err, io.EOF) {
		t.Errorf("Do = %v, want what f returned", err)
	}
	if inA == home || inB == home || inA == inB || backInA != inA || here() != home {
		t.Errorf("namespaces: home %s, a %s, b %s, a again %s, home again %s", home, inA, inB, backInA, here())
	}
}

func TestOffloadSwitches(t *testing.T) {
	netlab.Require(t)
	site := labtest.New(t)
	a, b := labtest.Host(t, site, "a"), labtest.Host(t, site, "b")
	if err := site.Connect(a, "eth0", b, "eth0"); err != nil {
		t.Fatal(err)
	}
	words := map[netlab.Offload]string{
		netlab.OffloadRX: "rx-checksumming", netlab.OffloadTX: "tx-checksumming", netlab.OffloadSG: "scatter-gather",
		netlab.OffloadTSO: "tx-tcp-segmentation", netlab.OffloadGSO: "generic-segmentation-offload",
		netlab.OffloadGRO: "generic-receive-offload",
	}
	for o, word := range words {
		for _, on := range []bool{false, true} {
			if err := a.SetOffload("eth0", o, on); err != nil {
				t.Error(err)
				continue
			}
			if got, err := a.Offload("eth0", o); err != nil || got != on {
				t.Errorf("offload %s = %t, %v; want %t", o, got, err, on)
			}
			want := word + ": off"
			if on {
				want = word + ": on"
			}
			if got := labtest.Run(t, a, "ethtool", "-k", "eth0"); !strings.Contains(got, want) {
				t.Errorf("ethtool does not say %q:\n%s", want, got)
			}
		}
		for dep := range words { // TX off took others along
			if err := a.SetOffload("eth0", dep, true); err != nil {
				t.Error(err)
			}
		}
	}
	if err := a.SetOffload("none", netlab.OffloadTX, false); !errors.Is(err, syscall.ENODEV) {
		t.Errorf("offload of an interface that is not there = %v, want ENODEV", err)
	}
}

func TestOrphansAreReaped(t *testing.T) {
	netlab.Require(t)
	h := labtest.Host(t, labtest.New(t), "a")
	pids := strings.Fields(labtest.Run(t, h, "sh", "-c", `for i in 1 2 3 4 5 6 7 8; do sleep 0.$i & echo $!; done`))
	if len(pids) != 8 {
		t.Fatalf("orphans = %v, want 8", pids)
	}
	labtest.Eventually(t, labtest.Hang, func() error {
		for _, pid := range pids {
			if out, err := h.Run(t.Context(), "cat", "/proc/"+pid+"/stat"); err == nil {
				return fmt.Errorf("orphan is left: %s", out)
			}
		}
		return nil
	})
}
