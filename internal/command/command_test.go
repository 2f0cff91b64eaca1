package command_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"uvs/internal/command"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what takes milliseconds.
const patience = 20 * time.Second

// newRunner returns a Runner that runs until stop is called or the test ends. stop returns how long the end took.
func newRunner(t *testing.T, o command.Options) (r *command.Runner, stop func() time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r = command.NewRunner(o)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stop = sync.OnceValue(func() time.Duration {
		began := time.Now()
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Error("Run did not return")
		}
		return time.Since(began)
	})
	t.Cleanup(func() { stop() })
	return r, stop
}

func start(t *testing.T, r *command.Runner, p command.Program) <-chan command.Result {
	t.Helper()
	return startWith(t, context.Background(), r, p)
}

//nolint:revive // the test comes first, as in all its helpers
func startWith(t *testing.T, ctx context.Context, r *command.Runner, p command.Program) <-chan command.Result {
	t.Helper()
	c := make(chan command.Result, 1)
	if err := r.Start(ctx, p, func(res command.Result) { c <- res }); err != nil {
		t.Fatal(err)
	}
	return c
}

func wait(t *testing.T, c <-chan command.Result) command.Result {
	t.Helper()
	select {
	case res := <-c:
		return res
	case <-time.After(patience):
		t.Fatal("no result")
		return command.Result{}
	}
}

// script writes a file that can be run and returns its path.
func script(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// await polls for what another process does.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline:
			t.Fatalf("%s: not in %v", what, patience)
		case <-tick.C:
		}
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

func TestResults(t *testing.T) {
	r, _ := newRunner(t, command.Options{})
	sh := func(text string) []string { return []string{"/bin/sh", "-c", text} }
	ready := script(t, "")
	for _, c := range []struct {
		name string
		p    command.Program
		want string
	}{
		{"success", command.Program{Args: []string{"/bin/true"}}, "exited with status 0"},
		{"status", command.Program{Args: sh("exit 42")}, "exited with status 42"},
		{"signal", command.Program{Args: sh("kill -9 $$")}, "ended by signal 9"},
		{"searched in PATH", command.Program{Args: []string{"sh", "-c", "exit 3"}}, "exited with status 3"},
		{"arguments as they are", command.Program{Args: []string{"/bin/sh", "-c", `[ "$1" = "a  b;c" ] && exit 5`, "sh", "a  b;c"}},
			"exited with status 5"},
		{"in time", command.Program{Args: sh("exit 6"), Timeout: patience}, "exited with status 6"},
		{"script without #!", command.Program{Args: []string{script(t, "exit $1"), "7"}}, "exited with status 7"},
		{"a file is there", command.Program{Args: []string{"</" + ready[1:]}}, "exited with status 0"},
		{"a file is not there", command.Program{Args: []string{"< " + ready + "x"}}, "exited with status 2"},
		{"root directory, no descriptors", command.Program{Args: sh(`[ "$(pwd)" = / ] && [ "$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2)" = "/dev/null
/dev/null
/dev/null" ] && exit 8`)}, "exited with status 8"},
		{"missing", command.Program{Args: []string{"/nowhere/to/be/found"}},
			"could not be started: run /nowhere/to/be/found: no such file or directory"},
		{"not executable", command.Program{Args: []string{"/etc/passwd"}}, "could not be started: run /etc/passwd: permission denied"},
		{"nothing", command.Program{}, "could not be started: executable file not found in $PATH"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := wait(t, start(t, r, c.p))
			if got := res.String(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if res.Ours() {
				t.Errorf("%v is not our own fault", res)
			}
		})
	}
}

// TestTimeout: SIGTERM goes to the whole group at the timeout, SIGKILL two seconds later.
func TestTimeout(t *testing.T) {
	const timeout = 300 * time.Millisecond
	r, _ := newRunner(t, command.Options{})
	dir := t.TempDir()
	began := time.Now()
	run := func(text string) <-chan command.Result {
		return start(t, r, command.Program{Args: []string{"/bin/sh", "-c", "cd " + dir + "; " + text}, Timeout: timeout})
	}
	obeys := run("sleep 1000 & echo $! >new; mv new child; wait")
	obeysNot := run("trap '' TERM; while :; do sleep 0.05; done")

	res := wait(t, obeys)
	if took := time.Since(began); res.Outcome != command.TimedOut || took < timeout || took > command.KillDelay {
		t.Errorf("a program that obeys: %v after %v, want timed out after %v and before %v", res, took, timeout, command.KillDelay)
	}
	text, err := os.ReadFile(filepath.Join(dir, "child"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the program's own child ends", func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) })

	res = wait(t, obeysNot)
	if took := time.Since(began); res.Outcome != command.TimedOut || took < command.KillDelay+timeout || took > 2*command.KillDelay+timeout {
		t.Errorf("a program that ignores SIGTERM: %v after %v, want timed out after %v", res, took, command.KillDelay+timeout)
	}
}

// TestTimeoutSignalsGroup: a child of the program has its chance to clean up.
func TestTimeoutSignalsGroup(t *testing.T) {
	r, _ := newRunner(t, command.Options{})
	told := filepath.Join(t.TempDir(), "told")
	c := start(t, r, command.Program{Args: []string{"/bin/sh", "-c",
		"trap : TERM; (trap ': >" + told + "; exit' TERM; while :; do sleep 0.05; done) & wait; wait"}, Timeout: 300 * time.Millisecond})
	if res := wait(t, c); res.Outcome != command.TimedOut || !exists(told) {
		t.Errorf("%v; SIGTERM reached the program's child: %v", res, exists(told))
	}
}

func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(b), ") Z ")
}

// TestCancel: a program that is no longer wanted is told to end.
func TestCancel(t *testing.T) {
	r, _ := newRunner(t, command.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	running := filepath.Join(t.TempDir(), "running")
	c := startWith(t, ctx, r, command.Program{Args: []string{"/bin/sh", "-c", ": >" + running + "; exec sleep 1000"}})
	await(t, "the program runs", func() bool { return exists(running) })
	cancel()
	if res := wait(t, c); res.Outcome != command.Stopped {
		t.Errorf("got %v, want stopped", res)
	}
	if res := wait(t, startWith(t, ctx, r, command.Program{Args: []string{"/bin/true"}})); !res.Ours() {
		t.Errorf("started after that: %v", res)
	}
}

// TestHungNotificationsDelayNoCheck: each kind has room of its own, and what finds none is told.
func TestHungNotificationsDelayNoCheck(t *testing.T) {
	r, stop := newRunner(t, command.Options{Max: 2, MaxWaiting: 1})
	hang := command.Program{Args: []string{"/bin/sleep", "1000"}}
	var hung []<-chan command.Result
	for range 3 {
		hung = append(hung, start(t, r, hang))
	}
	if err := r.Start(context.Background(), hang, nil); !errors.Is(err, command.ErrBusy) {
		t.Errorf("a fourth: %v, want %v", err, command.ErrBusy)
	}
	if res := wait(t, start(t, r, command.Program{Args: []string{"/bin/true"}, Timeout: patience})); res.Outcome != command.Exited {
		t.Errorf("a check beside them: %v", res)
	}
	if took := stop(); took < command.StopGrace || took > command.StopGrace+command.KillDelay {
		t.Errorf("the end took %v, want %v and no more than it takes to kill", took, command.StopGrace)
	}
	for i, c := range hung {
		res := wait(t, c)
		if stopped := i < 2; stopped != (res.Outcome == command.Stopped) || !stopped && !res.Ours() {
			t.Errorf("program %d: %v", i, res)
		}
	}
	if err := r.Start(context.Background(), hang, nil); !errors.Is(err, command.ErrStopped) {
		t.Errorf("after the end: %v, want %v", err, command.ErrStopped)
	}
}

// TestEndLetsNotificationsFinish: what was asked for right before the end still has its second, checks have not.
func TestEndLetsNotificationsFinish(t *testing.T) {
	r, stop := newRunner(t, command.Options{Max: 1})
	running := filepath.Join(t.TempDir(), "running")
	check := start(t, r, command.Program{Args: []string{"/bin/sh", "-c", ": >" + running + "; exec sleep 1000"}, Timeout: time.Hour})
	await(t, "the check runs", func() bool { return exists(running) })
	first := start(t, r, command.Program{Args: []string{"/bin/sh", "-c", "sleep 0.1; exit 1"}})
	second := start(t, r, command.Program{Args: []string{"/bin/sh", "-c", "exit 2"}})
	if took := stop(); took >= command.StopGrace {
		t.Errorf("the end took %v though nothing hung", took)
	}
	if res := wait(t, check); res.Outcome != command.Stopped {
		t.Errorf("check: %v, want stopped", res)
	}
	if a, b := wait(t, first), wait(t, second); a.Status != 1 || b.Status != 2 {
		t.Errorf("notifications: %v, %v, want exited with status 1, exited with status 2", a, b)
	}
}

// TestManyAtOnce: every program is run and every child waited for.
func TestManyAtOnce(t *testing.T) {
	r, stop := newRunner(t, command.Options{Max: 8})
	var results []<-chan command.Result
	for i := range 200 {
		results = append(results, start(t, r, command.Program{
			Args: []string{"/bin/sh", "-c", fmt.Sprintf("exit %d", i)}, Timeout: time.Duration(i%2) * time.Minute}))
	}
	for i, c := range results {
		if res := wait(t, c); res.Outcome != command.Exited || res.Status != i {
			t.Errorf("program %d: %v", i, res)
		}
	}
	stop()
	var status syscall.WaitStatus
	if pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
		t.Errorf("a child was left: %d, %v", pid, err)
	}
}

func TestRunsAsUser(t *testing.T) {
	needRoot(t)
	r, _ := newRunner(t, command.Options{})
	nobody, err := command.LookupUser("nobody", "", false)
	if err != nil {
		t.Fatal(err)
	}
	mixed, err := command.LookupUser("65534", "daemon", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		as   *command.Credential
		want string
	}{
		{nil, "0 0"},
		{nobody, "65534 65534 65534"},
		{mixed, "65534 1 1"},
		{&command.Credential{UID: 0, GID: 0, Groups: []uint32{0}}, "0 0 0"},
		{&command.Credential{UID: 12, GID: 34, Groups: []uint32{34, 56, 78}}, "12 34 34 56 78"},
	} {
		text := fmt.Sprintf(`[ "$(id -u) $(id -g) $(id -G)" = %q ]`, c.want)
		if c.as == nil {
			text = fmt.Sprintf(`[ "$(id -u) $(id -g)" = %q ]`, c.want)
		}
		if res := wait(t, start(t, r, command.Program{Args: []string{"/bin/sh", "-c", text}, As: c.as})); res.Outcome != command.Exited || res.Status != 0 {
			t.Errorf("%+v: %v, want the ids %s", c.as, res, c.want)
		}
	}
	if _, err := command.LookupUser("nobody", "no-such-group", false); err == nil || !strings.Contains(err.Error(), "group no-such-group") {
		t.Errorf("unknown group: %v", err)
	}
	if _, err := command.LookupUser("no-such-user", "", false); err == nil || !strings.Contains(err.Error(), "user no-such-user") {
		t.Errorf("unknown user: %v", err)
	}
	if c, err := command.LookupUser("root", "daemon", true); err != nil || len(c.Groups) != 2 {
		t.Errorf("supplementary groups: %+v, %v, want 1 and 0", c, err)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can run programs as others")
	}
}

// safeDir makes a directory that only root can change; /var/tmp is sticky.
func safeDir(t *testing.T) string {
	t.Helper()
	needRoot(t)
	dir, err := os.MkdirTemp("/var/tmp", "path")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestCheckPath(t *testing.T) {
	dir := safeDir(t)
	make := func(name string, mode fs.FileMode, uid, gid int) {
		t.Helper()
		file := filepath.Join(dir, name)
		var err error
		if mode.IsDir() {
			err = os.Mkdir(file, 0o755)
		} else {
			err = os.WriteFile(file, nil, 0o755)
		}
		if err == nil {
			err = os.Chown(file, uid, gid)
		}
		if err == nil {
			err = os.Chmod(file, mode.Perm()|mode&fs.ModeSticky)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	make("good", 0o755, 0, 0)
	make("everybody", 0o757, 0, 0)
	make("group", 0o775, 0, 50)
	make("rootgroup", 0o775, 0, 0)
	make("user", 0o755, 1000, 0)
	make("open", fs.ModeDir|0o777, 0, 0)
	make("open/good", 0o755, 0, 0)
	make("sticky", fs.ModeDir|fs.ModeSticky|0o777, 0, 0)
	make("sticky/good", 0o755, 0, 0)
	link("good", "link")
	link("sticky/../open/./good", "far")
	link("link", "link2")
	link("loop", "loop")
	link("sticky", "way")
	if err := os.Lchown(filepath.Join(dir, "link2"), 1000, 0); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, want string }{
		{"good", ""},
		{"rootgroup", ""},
		{"sticky/good", ""},
		{"way/good", ""},
		{"link", ""},
		{"sticky//.././good", ""},
		{"everybody", "DIR/everybody is writable by everybody (mode 0757)"},
		{"group", "DIR/group is writable by group 50 (mode 0775)"},
		{"user", "DIR/user is owned by user 1000"},
		{"open/good", "DIR/open/good: DIR/open is writable by everybody (mode 0777)"},
		{"far", "DIR/far: DIR/open is writable by everybody (mode 0777)"},
		{"link2", "DIR/link2 is owned by user 1000"},
		{"loop", "DIR/loop: too many levels of symbolic links"},
		{"none/good", "DIR/none/good: DIR/none: no such file or directory"},
		{"good/x", "DIR/good/x: DIR/good is not a directory"},
		{"sticky", "DIR/sticky: DIR/sticky is not a regular file"},
	} {
		got := ""
		if err := command.CheckPath(dir + "/" + c.name); err != nil {
			got = strings.ReplaceAll(err.Error(), dir, "DIR")
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if err := command.CheckPath("good"); err == nil {
		t.Error("a relative path is taken")
	}
}

// TestSecurePrograms: what was safe at the last run is looked at again.
func TestSecurePrograms(t *testing.T) {
	dir := safeDir(t)
	file := filepath.Join(dir, "script")
	if err := os.WriteFile(file, []byte("#!/bin/sh\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r, _ := newRunner(t, command.Options{})
	run := func(as *command.Credential) command.Result {
		t.Helper()
		return wait(t, start(t, r, command.Program{Args: []string{file}, Secure: true, As: as}))
	}
	if res := run(nil); res.Status != 3 {
		t.Errorf("a safe program: %v", res)
	}
	if err := os.Chmod(file, 0o777); err != nil {
		t.Fatal(err)
	}
	res := run(nil)
	var unsafe *command.UnsafeError
	if !errors.As(res.Err, &unsafe) || unsafe.Part != file {
		t.Errorf("after it became writable: %v, want an UnsafeError for %s", res, file)
	}
	if res := run(&command.Credential{UID: 65534, GID: 65534}); res.Status != 3 {
		t.Errorf("as nobody: %v, want it run, as it gives no rights away", res)
	}
	if err := os.Chmod(file, 0o777|fs.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	if res := run(&command.Credential{UID: 65534, GID: 65534}); !errors.As(res.Err, &unsafe) {
		t.Errorf("set-uid root: %v, want an UnsafeError", res)
	}
}
