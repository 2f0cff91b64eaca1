package control_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"uvs/control"
)

func TestListenSocket(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	l, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(l.Path())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Mode(), fs.ModeSocket|0o600; got != want {
		t.Errorf("socket mode is %v, want %v", got, want)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(l.Path()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Close the socket gives %v, want it removed", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestListenReplacesDeadSocket(t *testing.T) {
	dir := t.TempDir()
	deadSocket(t, filepath.Join(dir, control.SocketName))
	// A run that was killed while it made its socket leaves this one too.
	deadSocket(t, filepath.Join(dir, control.SocketName+".new"))
	l, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", l.Path())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestListenWhenInUse(t *testing.T) {
	refused := func(t *testing.T, dir string) {
		t.Helper()
		_, err := control.Listen(dir)
		if want := "run directory " + dir + ": another uvs is running"; !errors.Is(err, control.ErrRunning) || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	t.Run("by a listener", func(t *testing.T) {
		l, err := control.Listen(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		refused(t, filepath.Dir(l.Path()))
	})
	t.Run("by a listener whose socket was removed", func(t *testing.T) {
		l, err := control.Listen(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := os.Remove(l.Path()); err != nil {
			t.Fatal(err)
		}
		refused(t, filepath.Dir(l.Path()))
	})
	t.Run("by an answering socket without the lock", func(t *testing.T) {
		dir := t.TempDir()
		other, err := net.Listen("unix", filepath.Join(dir, control.SocketName))
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		refused(t, dir)
		if c, err := net.Dial("unix", other.Addr().String()); err != nil {
			t.Errorf("the other's socket is gone: %v", err)
		} else {
			c.Close()
		}
	})
}

// TestCloseKeepsForeignSocket puts another socket in the place of ours.
func TestCloseKeepsForeignSocket(t *testing.T) {
	l, err := control.Listen(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(l.Path()); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("unix", l.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(l.Path()); err != nil {
		t.Errorf("the other's socket was removed: %v", err)
	}
}

func TestListenWhenPathTooLong(t *testing.T) {
	_, err := control.Listen(filepath.Join(t.TempDir(), strings.Repeat("x", 200)))
	if err == nil || !strings.Contains(err.Error(), "bytes too long for a Unix socket; choose a shorter one with --run-dir") {
		t.Errorf("got %v, want an error that says what to shorten", err)
	}
}
