package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// SocketName is the control socket's file name in the run directory.
const SocketName = "control.sock"

// maxSocketPath is what the kernel's sockaddr_un.sun_path holds, less the final
// zero byte.
const maxSocketPath = 107

// ErrRunning reports that another director uses the run directory.
var ErrRunning = errors.New("another uvs is running")

// Listener is the control socket of one run directory. It holds the directory:
// while it is open no other Listener can be opened on the same directory, in this
// process or another. It is owned by one goroutine.
type Listener struct {
	socket *net.UnixListener
	path   string
	made   os.FileInfo // the socket file we made, so that Close removes no other
	lock   *os.File    // the locked run directory
}

// Listen makes the run directory if needed, with its parents, and the control
// socket in it. A socket that a dead run left is replaced, but only after
// connecting to it has failed. If the directory is in use the error wraps
// ErrRunning. Connections queue until Serve takes them.
func Listen(runDir string) (*Listener, error) {
	path := filepath.Join(runDir, SocketName)
	if n := len(path + newSuffix); n > maxSocketPath {
		return nil, fmt.Errorf("run directory %s: the name is %d bytes too long for a Unix socket; choose a shorter one with --run-dir",
			runDir, n-maxSocketPath)
	}
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	lock, err := os.Open(runDir)
	if err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	l := &Listener{path: path, lock: lock}
	if err := l.open(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("run directory %s: %w", runDir, err)
	}
	return l, nil
}

// newSuffix marks the socket while it is being made.
const newSuffix = ".new"

// open takes the lock and puts the socket in its place. The socket is made under
// another name and renamed, so that nobody sees it with a wider mode or finds the
// name missing in between.
func (l *Listener) open() error {
	if err := lockFile(l.lock); errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrRunning
	} else if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	// The lock is advisory and a uvs in another mount of the directory may not share
	// it: an answering socket has the last word.
	if c, err := net.DialTimeout("unix", l.path, time.Second); err == nil {
		c.Close()
		return ErrRunning
	}
	temp := l.path + newSuffix
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: temp, Net: "unix"})
	if err != nil {
		return err
	}
	socket.SetUnlinkOnClose(false)
	if err := l.publish(socket, temp); err != nil {
		os.Remove(temp)
		socket.Close()
		return err
	}
	return nil
}

// publish narrows the mode of the socket at temp and gives it its name.
func (l *Listener) publish(socket *net.UnixListener, temp string) error {
	if err := os.Chmod(temp, 0o600); err != nil {
		return err
	}
	made, err := os.Lstat(temp)
	if err != nil {
		return err
	}
	if err := os.Rename(temp, l.path); err != nil {
		return err
	}
	l.socket, l.made = socket, made
	return nil
}

// Path returns the socket's file name.
func (l *Listener) Path() string { return l.path }

// Close ends listening, removes the socket and lets go of the run directory. The
// directory stays. Closing again does nothing.
func (l *Listener) Close() error {
	if l.lock == nil {
		return nil
	}
	err := l.socket.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil // Serve stops taking connections first
	}
	// Someone may have removed our socket and put another in its place.
	if now, serr := os.Lstat(l.path); serr == nil && os.SameFile(now, l.made) {
		err = errors.Join(err, os.Remove(l.path))
	}
	err = errors.Join(err, l.lock.Close())
	l.lock = nil
	return err
}
