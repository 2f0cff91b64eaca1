package track

import (
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// maxEnds bounds the processes whose end is waited for; a descriptor and a goroutine each.
const maxEnds = 256

// ends tells when one of some processes ends (pidfd_open, Linux 5.3; before that it tells nothing). All but wake belongs
// to one goroutine.
type ends struct {
	off     bool
	wake    chan struct{} // capacity 1: something ended since the last look
	files   map[int]*os.File
	waiters sync.WaitGroup
}

// newEnds returns ends for the processes of a directory like /proc; only those of the real one exist.
func newEnds(dir string) *ends {
	return &ends{off: dir != "/proc", wake: make(chan struct{}, 1), files: make(map[int]*os.File)}
}

// watch waits for the ends of these processes and no others.
func (e *ends) watch(pids []int) {
	if e.off {
		return
	}
	wanted := make(map[int]bool, len(pids))
	for _, pid := range pids {
		wanted[pid] = true
	}
	for pid, f := range e.files {
		if !wanted[pid] {
			f.Close() //nolint:errcheck // nothing was written
			delete(e.files, pid)
		}
	}
	for _, pid := range pids {
		if e.files[pid] == nil && len(e.files) < maxEnds {
			e.add(pid)
		}
	}
}

func (e *ends) add(pid int) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		e.off = errors.Is(err, unix.ENOSYS)
		return
	}
	// The runtime's poller waits for descriptors that do not block. PIDFD_NONBLOCK needs Linux 5.10.
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	e.files[pid] = f
	e.waiters.Go(func() {
		conn, err := f.SyscallConn()
		if err != nil {
			return
		}
		if conn.Read(ended) == nil {
			select {
			case e.wake <- struct{}{}:
			default:
			}
		}
	})
}

// ended reports whether the process of a descriptor has ended.
func ended(fd uintptr) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return n > 0 && err == nil
}

func (e *ends) close() {
	for _, f := range e.files {
		f.Close() //nolint:errcheck // nothing was written
	}
	e.waiters.Wait()
}
