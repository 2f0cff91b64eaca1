package forwarding

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"uvs/internal/mono"
)

const (
	expireEvery  = 10 * time.Millisecond  // how often a busy worker looks for flows that ran out
	expireBudget = 1024                   // flows looked at then, some 100 µs; 100 000 a second
	idleWait     = 100 * time.Millisecond // longest wait of an idle worker
	heldWait     = 5 * time.Millisecond   // longest wait while frames are held
	probeWait    = time.Millisecond       // longest wait while connections are to be asked about
)

// run is the worker's thread. It returns nil after ctx is cancelled, with its ports closed.
func (w *Worker) run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w.running = true
	stop := context.AfterFunc(ctx, w.wake)
	defer stop()
	defer func() { // no ring stays open behind a worker that stopped
		w.SetPorts(nil)
		w.usePorts()
		w.running = false
	}()
	if cpu := int(w.cpu.Load()); cpu >= 0 {
		undo, err := pin(cpu)
		if err != nil {
			w.cpu.Store(-1) // a cpuset without that CPU costs speed, nothing else
		} else {
			defer undo()
		}
	}
	var fds []unix.PollFd
	var expired, busy mono.Time // when flows ran out, and a frame came, last
	expiring := false           // more flows may be due
	for ctx.Err() == nil {
		if w.changed.Load() {
			w.usePorts()
			fds = w.pollSet(fds[:0])
		}
		w.rounds.Add(1)
		now := mono.Now()
		received := w.round(now)
		if now.Sub(expired) >= expireEvery {
			expired = now
			expiring = w.engine.flows.Expire(now, expireBudget) > 0
			w.expireFragments(now)
		}
		if received > 0 {
			busy = now
			continue
		}
		if now.Sub(busy) < w.engine.busyPoll {
			continue
		}
		limit := idleWait
		switch {
		case w.questions.pending.Load():
			limit = probeWait
		case w.holder.used > 0:
			limit = heldWait
		case expiring:
			limit = expireEvery
		}
		if err := w.wait(fds, limit); err != nil {
			return err
		}
	}
	return nil
}

// pollSet lists what the worker waits for: its waker, then its ports.
func (w *Worker) pollSet(fds []unix.PollFd) []unix.PollFd {
	fds = append(fds, unix.PollFd{Fd: int32(w.waker.fd), Events: unix.POLLIN})
	for _, p := range w.ports {
		fds = append(fds, unix.PollFd{Fd: int32(p.port.FD()), Events: unix.POLLIN}) // ppoll skips −1
	}
	return fds
}

// wait blocks until a frame arrives, somebody wakes the worker, or the limit is over.
func (w *Worker) wait(fds []unix.PollFd, limit time.Duration) error {
	if len(fds) == 0 { // no ports yet
		fds = []unix.PollFd{{Fd: int32(w.waker.fd), Events: unix.POLLIN}}
	}
	timeout := unix.NsecToTimespec(int64(limit))
	n, err := unix.Ppoll(fds, &timeout, nil)
	if err != nil && err != unix.EINTR && err != unix.EAGAIN {
		return os.NewSyscallError("ppoll", err)
	}
	if n <= 0 {
		return nil
	}
	if fds[0].Revents != 0 {
		w.waker.drain()
	}
	for i := range fds[1:] {
		// An interface that went down reports an error until it is read; the port lives on.
		if fds[i+1].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
			if err := w.ports[i].port.Err(); errors.Is(err, unix.EBADF) {
				return fmt.Errorf("port on interface %d: %w", w.ports[i].link, err)
			}
		}
	}
	return nil
}

// pin binds the calling thread to a CPU.
func pin(cpu int) (undo func(), err error) {
	var old, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		return nil, os.NewSyscallError("sched_getaffinity", err)
	}
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return nil, os.NewSyscallError("sched_setaffinity", err)
	}
	return func() { unix.SchedSetaffinity(0, &old) }, nil //nolint:errcheck // it was the thread's own set
}

// A waker ends a worker's wait from another goroutine (eventfd(2)). It may be woken after it
// was closed: cancellation comes when it likes.
type waker struct {
	fd int

	mu     sync.Mutex // guards closed
	closed bool
}

func newWaker() (*waker, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	return &waker{fd: fd}, nil
}

func (k *waker) wake() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.closed {
		one := [8]byte{1}
		unix.Write(k.fd, one[:]) //nolint:errcheck // EAGAIN: a wake-up is pending already
	}
}

func (k *waker) drain() {
	var buf [8]byte
	unix.Read(k.fd, buf[:]) //nolint:errcheck // EAGAIN: somebody drained it
}

func (k *waker) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	unix.Close(k.fd) //nolint:errcheck // an eventfd has nothing to lose
}
