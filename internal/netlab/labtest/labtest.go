// Package labtest is what tests add to [netlab]: sites that end with the test, failures
// instead of errors, and the uvs binary to test.
package labtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/capture"
)

// Hang is how long a test waits for what is to come some time: more than a slow and busy machine needs, so that who waits
// longer waits for ever. A test that claims how long something takes has a bound of its own.
const Hang = 45 * time.Second

// commandTimeout is the time that Run gives a command.
const commandTimeout = 60 * time.Second

// New makes an empty site that is closed when the test ends. The test is skipped, with
// the reason, where sites cannot be built.
func New(t testing.TB) *netlab.Site {
	t.Helper()
	netlab.Require(t)
	site, err := netlab.New("test")
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, site)
	return site
}

// TwoArm is [netlab.TwoArm] with the test's lifetime, as in [New].
func TwoArm(t testing.TB, p netlab.Plan) *netlab.Topology {
	t.Helper()
	return build(t, p, netlab.TwoArm)
}

// OneArm is [netlab.OneArm] with the test's lifetime, as in [New].
func OneArm(t testing.TB, p netlab.Plan) *netlab.Topology {
	t.Helper()
	return build(t, p, netlab.OneArm)
}

func build(t testing.TB, p netlab.Plan, f func(netlab.Plan) (*netlab.Topology, error)) *netlab.Topology {
	t.Helper()
	netlab.Require(t)
	top, err := f(p)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, top.Site)
	return top
}

func closeAtEnd(t testing.TB, site *netlab.Site) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(site.Describe())
		}
		if err := site.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Host adds a host to a site.
func Host(t testing.TB, site *netlab.Site, name string) *netlab.Host {
	t.Helper()
	h, err := site.AddHost(name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Start runs a program on a host until the test ends, when it is killed unless the test
// has stopped it. What it wrote is logged if the test fails.
func Start(t testing.TB, h *netlab.Host, name string, args ...string) *netlab.Process {
	t.Helper()
	return StartCmd(t, h, netlab.Cmd{Name: name, Args: args})
}

// StartCmd is [Start] with environment, directory and standard input.
func StartCmd(t testing.TB, h *netlab.Host, c netlab.Cmd) *netlab.Process {
	t.Helper()
	p, err := h.StartCmd(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s: %s %s:\n%s", h.Name(), c.Name, strings.Join(c.Args, " "), p.Output())
		}
		_ = p.Signal(os.Kill) // os.ErrProcessDone is as good
		<-p.Done()
	})
	return p
}

// Run runs a program on a host to its end and returns its output. An exit status other
// than 0, and more than a minute, fail the test.
func Run(t testing.TB, h *netlab.Host, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	out, err := h.Run(ctx, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Eventually calls cond until it returns nil, and fails the test with its last error
// when that takes longer than timeout. cond runs on the test's goroutine.
func Eventually(t testing.TB, timeout time.Duration, cond func() error) {
	t.Helper()
	const pause = 10 * time.Millisecond
	deadline := time.Now().Add(timeout)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		err := cond()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %v", timeout, err)
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("test ended: %v", err)
		}
	}
}

// Binary returns the path of a static uvs binary: the environment's UVS_BIN, or one that
// is built from this module, once for each test process, into its .cache directory.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// buildOnce is a constant that is expensive to know.
var buildOnce = sync.OnceValues(buildBinary)

func buildBinary() (string, error) {
	if path := os.Getenv("UVS_BIN"); path != "" {
		return path, nil
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, ".cache", "labtest")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	path := filepath.Join(dir, "uvs")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "./cmd/uvs")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return path, nil
}

// moduleRoot returns the directory of go.mod, at or above the working directory, which
// go test sets to the package's.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("no go.mod at or above %s", dir)
		}
	}
}

// Capture records packets of an interface from now until the test stops it or ends.
func Capture(t testing.TB, h *netlab.Host, ifname, filter string) *capture.Capture {
	t.Helper()
	c, err := capture.Start(h, ifname, filter)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
