//go:build netns

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// unitFile is systemd's unit in the repository.
const unitFile = "../dist/systemd/uvs.service"

// TestUnitFile installs as a person and as a package would, and has systemd's own judge read
// the unit.
func TestUnitFile(t *testing.T) {
	bin := labtest.Binary(t)
	host := labtest.Host(t, labtest.New(t), "host")
	install := func(args ...string) {
		t.Helper()
		labtest.Run(t, host, "make", append([]string{"-s", "-C", "..", "install"}, args...)...)
	}
	prefix, tree := t.TempDir(), t.TempDir()
	if _, err := os.Stat("../bin/uvs"); err != nil {
		t.Fatalf("what is to be installed is not built: %v", err)
	}
	install("PREFIX=" + prefix)
	unit := filepath.Join(prefix, "lib/systemd/system/uvs.service")
	if got := labtest.Run(t, host, "systemd-analyze", "verify", unit); got != "" {
		t.Errorf("systemd says of the unit:\n%s", got)
	}
	if got, want := labtest.Run(t, host, filepath.Join(prefix, "sbin/uvs"), "version"), labtest.Run(t, host, bin, "version"); got != want {
		t.Errorf("installed %q, want %q", got, want)
	}
	install("PREFIX=/usr", "DESTDIR="+tree)
	for name, mode := range map[string]os.FileMode{"usr/sbin/uvs": 0o755, "usr/lib/systemd/system/uvs.service": 0o644} {
		info, err := os.Stat(filepath.Join(tree, name))
		if err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	packaged, err := os.ReadFile(filepath.Join(tree, "usr/lib/systemd/system/uvs.service"))
	if original, oerr := os.ReadFile(unitFile); err != nil || oerr != nil || string(packaged) != string(original) {
		t.Errorf("the unit of a package for /usr is not the repository's (%v, %v)", err, oerr)
	}
}

// setting returns the values of a key of the unit.
func setting(t *testing.T, key string) []string {
	t.Helper()
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + key + `=(.*)$`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("%s has no %s=", unitFile, key)
	}
	return strings.Fields(string(m[1]))
}

// A manager is systemd as far as a service sees it: a socket that takes its words.
type manager struct {
	t      *testing.T
	socket string
	words  chan string
}

func newManager(t *testing.T) *manager {
	m := &manager{t: t, socket: filepath.Join(t.TempDir(), "notify"), words: make(chan string, 1000)}
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	// A service may have a user of its own.
	if err := os.Chmod(m.socket, 0o777); err != nil {
		t.Fatal(err)
	}
	for dir := filepath.Dir(m.socket); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, err := l.Read(buf)
			if err != nil {
				return
			}
			m.words <- string(buf[:n])
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return m
}

// A user is whom the unit, or a drop-in, lets the director run as.
type user struct {
	uid  int
	more []string // capabilities beside the unit's
}

// rights are capabilities of the unit and more, as setpriv(1) takes them.
func (u user) rights(t *testing.T, key string) string {
	t.Helper()
	list := "-all"
	for _, c := range append(setting(t, key), u.more...) {
		list += ",+" + strings.ToLower(strings.TrimPrefix(c, "CAP_"))
	}
	return list
}

// start starts uvs as the unit does.
func (m *manager) start(h *netlab.Host, config string, watchdog time.Duration, u user, args ...string) *director {
	m.t.Helper()
	caps, bounds := u.rights(m.t, "AmbientCapabilities"), u.rights(m.t, "CapabilityBoundingSet")
	file := filepath.Join(filepath.Dir(m.socket), "keepalived.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		m.t.Fatal(err)
	}
	d := &director{t: m.t, host: h, bin: labtest.Binary(m.t)}
	id := strconv.Itoa(u.uid)
	d.proc = labtest.StartCmd(m.t, h, netlab.Cmd{
		Name: "setpriv",
		Args: append([]string{"--reuid", id, "--regid", id, "--clear-groups", "--no-new-privs", "--bounding-set", bounds, "--inh-caps", caps, "--ambient-caps", caps,
			d.bin, "run", "-f", file}, args...),
		Env: []string{"NOTIFY_SOCKET=" + m.socket, fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds())},
	})
	return d
}

// hears waits for a word and returns those before it.
func (m *manager) hears(d *director, pattern string) (before []string) {
	m.t.Helper()
	want := regexp.MustCompile(pattern)
	timeout := time.After(startTimeout)
	for {
		select {
		case w := <-m.words:
			if want.MatchString(w) {
				return before
			}
			before = append(before, w)
		case <-timeout:
			m.t.Fatalf("systemd does not hear %s, but %q; uvs says\n%s", pattern, before, d.proc.Output())
		}
	}
}

// TestSystemd goes through a director's life as systemd sees it, with the rights that the unit
// gives and with those that its comments speak of, beside other software's programs.
func TestSystemd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		user  user
		steer string // as status has it
	}{
		{"root", user{}, "clsact"},
		{"a user of its own", user{uid: 65534}, "clsact"},
		{"CAP_SYS_ADMIN", user{more: []string{"CAP_SYS_ADMIN"}}, "tcx"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := modes()[0]
			top := m.site(t, netlab.Plan{Servers: 2, NoVIP: true})
			for _, h := range top.Servers {
				startWeb(t, h)
			}
			addForeignFilters(t, top.Directors[0])
			before := dump(t, top.Directors[0])
			systemd := newManager(t)
			runDir := t.TempDir()
			if err := errors.Join(os.Chown(runDir, tt.user.uid, tt.user.uid), os.Chmod(runDir, 0o755)); err != nil {
				t.Fatal(err)
			}
			d := systemd.start(top.Directors[0], m.config(top), 2*time.Second, tt.user, "--run-dir", runDir)

			// Ready means ready: the API answers, and so do the services.
			systemd.hears(d, `^READY=1\nSTATUS=2 services, [0-4] of 4 servers up, 0 connections$`)
			var status control.Status
			if err := json.Unmarshal([]byte(d.uvs("status", "-o", "json", "--run-dir", runDir)), &status); err != nil {
				t.Fatal(err)
			}
			if s := status.Steering; s.Backend != tt.steer || s.Backend == "clsact" && (len(s.PassedOver) != 1 || !strings.Contains(s.PassedOver[0].Reason, "CAP_SYS_ADMIN")) {
				t.Errorf("steering is %+v, want %s, and why if it is not the best", s, tt.steer)
			}
			for _, vip := range []fmt.Stringer{top.VIP4, top.VIP6} {
				curl(t, top.Clients[0], url(vip, 80, "/"))
			}
			systemd.hears(d, `^WATCHDOG=1\nSTATUS=2 services, 4 of 4 servers up, 2 connections$`)
			systemd.hears(d, `^WATCHDOG=1$`)

			reloads := func(how string) {
				t.Helper()
				before := systemd.hears(d, `^RELOADING=1\nMONOTONIC_USEC=[0-9]+\n`)
				before = append(before, systemd.hears(d, `^READY=1\nSTATUS=2 services, `)...)
				if slices.ContainsFunc(before, func(w string) bool { return !strings.HasPrefix(w, "WATCHDOG=1") && !strings.HasPrefix(w, "STATUS=") }) {
					t.Errorf("%s: systemd heard %q as well", how, before)
				}
			}
			if err := d.proc.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			reloads("SIGHUP")
			d.uvs("reload", "--run-dir", runDir)
			reloads("uvs reload")
			if err := os.WriteFile(filepath.Join(filepath.Dir(systemd.socket), "keepalived.conf"), []byte("nonsense\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			if out, err := d.tryUVS("reload", "--run-dir", runDir); err == nil {
				t.Errorf("nonsense was loaded: %s", out)
			}
			reloads("uvs reload of nonsense")

			d.stop()
			systemd.hears(d, `^STOPPING=1\n`)
			wantDump(t, top.Directors[0], before, "after SIGTERM")
		})
	}
}

// TestWatchdogNoticesAHungWorker stops the one thread of a real director that forwards, and
// no other: the pings end though the rest goes on, and come again with the thread.
func TestWatchdogNoticesAHungWorker(t *testing.T) {
	m := modes()[0]
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	startWeb(t, top.Servers[0])
	systemd := newManager(t)
	d := systemd.start(top.Directors[0], m.config(top), 2*time.Second, user{}, "--workers", "1")
	systemd.hears(d, `^READY=1\n`)
	systemd.hears(d, `^WATCHDOG=1`)

	runtime.LockOSThread() // whoever attached must detach
	defer runtime.UnlockOSThread()
	worker := workerThread(t, d.proc.Pid())
	if err := unix.PtraceSeize(worker); err != nil {
		t.Fatalf("hold the worker's thread: %v", err)
	}
	// A failure must not leave it held: a process whose thread is traced does not end.
	defer func() { _ = unix.PtraceDetach(worker) }()
	if err := unix.PtraceInterrupt(worker); err != nil {
		t.Fatal(err)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(worker, &status, unix.WALL, nil); err != nil || !status.Stopped() {
		t.Fatalf("the worker's thread does not stop: %v, %v", status, err)
	}
	if _, err := tryCurl(t, top.Clients[0], "--max-time", "1", url(top.VIP4, 80, "/")); err == nil {
		t.Error("a thread was held that does not forward")
	}
	systemd.hears(d, `^STATUS=hangs: worker 0; the watchdog gets no ping$`)
	if got := d.uvs("status"); !strings.Contains(got, "running") { // the others go on
		t.Errorf("status says\n%s", got)
	}
	select { // a whole watchdog's time, as systemd would wait
	case w := <-systemd.words:
		t.Errorf("the worker hangs, and systemd heard %q", w)
	case <-time.After(2 * time.Second):
	}
	if err := unix.PtraceDetach(worker); err != nil {
		t.Fatal(err)
	}
	systemd.hears(d, `^WATCHDOG=1\nSTATUS=2 services, `)
	curl(t, top.Clients[0], url(top.VIP4, 80, "/"))
	for _, line := range []string{`msg="a part of uvs hangs" part="worker 0"`, `msg="all parts of uvs go on again"`} {
		if err := d.proc.WaitOutput(labtest.Hang, line); err != nil {
			t.Error(err)
		}
	}

	// What the watchdog would do ends the process so that the unit starts it again.
	if err := d.proc.Signal(syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := d.proc.Wait(); !errors.As(err, &exit) || exit.Success() {
		t.Fatalf("SIGABRT ends uvs with %v", err)
	}
	if got := setting(t, "Restart"); !slices.Equal(got, []string{"on-failure"}) {
		t.Errorf("the unit has Restart=%s", got)
	}
	unit, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`(?m)^(RestartPrevent|Success)ExitStatus=.*`).FindString(string(unit)); m != "" {
		t.Errorf("uvs crashes with status %d, and the unit has %s", exit.ExitCode(), m)
	}
	if got := d.uvs("cleanup"); !strings.Contains(got, top.VIP4.String()) {
		t.Errorf("cleanup says %q", got)
	}
}

// workerThread finds the thread that waits in ppoll(2) and is pinned to one CPU, as only the
// worker is.
func workerThread(t *testing.T, pid int) (tid int) {
	t.Helper()
	labtest.Eventually(t, labtest.Hang, func() error {
		calls, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
		if err != nil {
			return err
		}
		for _, file := range calls {
			b, err := os.ReadFile(file)
			if err != nil || !strings.HasPrefix(string(b), fmt.Sprint(unix.SYS_PPOLL, " ")) {
				continue
			}
			status, err := os.ReadFile(filepath.Join(filepath.Dir(file), "status"))
			if err == nil && regexp.MustCompile(`(?m)^Cpus_allowed_list:\t\d+$`).Match(status) {
				tid, err = strconv.Atoi(filepath.Base(filepath.Dir(file)))
				return err
			}
		}
		return fmt.Errorf("no pinned thread of process %d waits in ppoll", pid)
	})
	return tid
}
