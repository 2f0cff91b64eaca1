//go:build netns

package netlab_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// victimEnv makes TestVictim, in a process of its own, build a site and wait for its
// end by SIGKILL.
const victimEnv = "NETLAB_VICTIM"

// TestVictim is the other half of TestNothingIsLeftAfterKill.
func TestVictim(t *testing.T) {
	if os.Getenv(victimEnv) == "" {
		return // only of use when started by TestNothingIsLeftAfterKill
	}
	top, err := netlab.TwoArm(netlab.Plan{Name: "victim"})
	if err != nil {
		t.Fatal(err)
	}
	// A process with a child, and one that left session, parent and pipes behind.
	if _, err := top.Servers[0].Start("sh", "-c", "sleep 1000 & sleep 1000"); err != nil {
		t.Fatal(err)
	}
	if _, err := top.Directors[0].Run(t.Context(), "sh", "-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 &"); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("ready %s\n", top.Clients[0].NetPath())
	<-t.Context().Done()
}

func TestNothingIsLeftAfterKill(t *testing.T) {
	netlab.Require(t)
	probe := labtest.Host(t, labtest.New(t), "probe")

	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictim$")
	cmd.Env = append(os.Environ(), victimEnv+"=1")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	victim := cmd.Process.Pid
	line, err := bufio.NewReader(stdout).ReadString('\n')
	path, ok := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if err != nil || !ok {
		t.Fatalf("victim wrote %q, %v", line, err)
	}

	// A veth of ours into the victim's namespace lives exactly as long as that.
	addCanary(t, probe, path)
	namespaces, pids := belongings(t, victim)
	if len(namespaces) < 6 || len(pids) < 5 {
		t.Fatalf("victim has namespaces %v and processes %v; want at least 6 and 5", namespaces, pids)
	}

	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // "signal: killed"
	labtest.Eventually(t, labtest.Hang, func() error {
		for _, pid := range pids {
			if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil {
				return fmt.Errorf("process %d (%s) is left", pid, strings.TrimSpace(string(comm)))
			}
		}
		for pid, held := range allNamespaces(t) {
			for _, ns := range held {
				if namespaces[ns] {
					return fmt.Errorf("process %d holds %s", pid, ns)
				}
			}
		}
		if out, err := probe.Run(t.Context(), "ip", "link", "show", "canary"); err == nil {
			return errors.New("the victim's interface is left: " + out)
		}
		return nil
	})
}

func TestNothingIsLeftAfterClose(t *testing.T) {
	netlab.Require(t)
	use := func() {
		top, err := netlab.TwoArm(netlab.Plan{})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range top.Hosts() {
			if _, err := h.Run(t.Context(), "sh", "-c", "sleep 1000 </dev/null >/dev/null 2>&1 &"); err != nil {
				t.Fatal(err)
			}
			if _, err := h.Start("sleep", "1000"); err != nil {
				t.Fatal(err)
			}
		}
		_, pids := belongings(t, os.Getpid())
		if len(pids) < 10 {
			t.Fatalf("site has processes %v; want at least 10", pids)
		}
		if err := top.Close(); err != nil {
			t.Fatal(err)
		}
		// Close waits: no deadline here.
		for _, pid := range pids {
			if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
				t.Errorf("process %d is left", pid)
			}
		}
		if _, err := top.Clients[0].Start("true"); err == nil {
			t.Error("a host of a closed site starts processes")
		}
	}
	use() // what the runtime opens once
	descriptors, threads := count(t, "fd"), count(t, "task")
	goroutines := runtime.NumGoroutine()
	for range 3 {
		use()
	}
	labtest.Eventually(t, labtest.Hang, func() error {
		if n := count(t, "fd"); n > descriptors {
			return fmt.Errorf("%d descriptors, %d before", n, descriptors)
		}
		if n := runtime.NumGoroutine(); n > goroutines {
			return fmt.Errorf("%d goroutines, %d before", n, goroutines)
		}
		// The runtime keeps a few spare threads; three sites leave none of theirs.
		if n := count(t, "task"); n > threads+2 {
			return fmt.Errorf("%d threads, %d before", n, threads)
		}
		return nil
	})
}

// addCanary gives probe the interface "canary", whose peer is in the namespace at path.
func addCanary(t *testing.T, probe *netlab.Host, path string) {
	t.Helper()
	ns, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	err = probe.Do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "canary"
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "bird", PeerNamespace: netlink.NsFd(ns.Fd())})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// count returns how many entries /proc/self/DIR has.
func count(t *testing.T, dir string) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/" + dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// belongings returns the namespaces that process pid holds and that are not the
// machine's, and the processes in the PID namespace among them.
func belongings(t *testing.T, pid int) (namespaces map[string]bool, pids []int) {
	t.Helper()
	home := make(map[string]bool)
	for _, kind := range []string{"net", "mnt", "pid"} {
		ns, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		home[ns] = true
	}
	all := allNamespaces(t)
	namespaces = make(map[string]bool)
	for _, ns := range all[pid] {
		if !home[ns] {
			namespaces[ns] = true
		}
	}
	for other, held := range all {
		if other == pid {
			continue
		}
		for _, ns := range held {
			if strings.HasPrefix(ns, "pid:") && namespaces[ns] {
				pids = append(pids, other)
				break
			}
		}
	}
	return namespaces, pids
}

// allNamespaces returns what each process of the machine is in or holds open.
func allNamespaces(t *testing.T) map[int][]string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/ns/*")
	if err != nil {
		t.Fatal(err)
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[int][]string)
	for _, link := range append(links, fds...) {
		target, err := os.Readlink(link) // fails when the process has just ended
		kind, _, ok := strings.Cut(target, ":[")
		if err != nil || !ok || (kind != "net" && kind != "mnt" && kind != "pid") {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(link, "/")[2])
		if err != nil {
			t.Fatal(err)
		}
		all[pid] = append(all[pid], target)
	}
	return all
}
