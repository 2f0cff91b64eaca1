package netlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Cmd says what to run on a host.
type Cmd struct {
	Name  string    // program: a path, or a name that is looked up in PATH
	Args  []string  // without the program itself
	Env   []string  // "NAME=value", added to our own environment
	Dir   string    // working directory; ours when empty
	Stdin io.Reader // nil is /dev/null
}

// A Process is a program that was started on a host. Safe for use by many goroutines.
type Process struct {
	host   *Host
	cmd    *exec.Cmd
	stdout output
	stderr output
	done   chan struct{} // closed when the process has ended
	err    error         // how it ended; read only after done
}

// Start runs a program on the host and returns at once. The process ends at the latest
// with the site.
func (h *Host) Start(name string, args ...string) (*Process, error) {
	return h.StartCmd(Cmd{Name: name, Args: args})
}

// StartCmd is [Host.Start] with environment, directory and standard input.
func (h *Host) StartCmd(c Cmd) (*Process, error) {
	cmd := exec.Command(c.Name, c.Args...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdin = c.Stdin
	// Entering a mount namespace moves the thread to its root directory.
	if cmd.Dir = c.Dir; cmd.Dir == "" {
		dir, err := os.Getwd()
		if err != nil {
			return nil, err
		}
		cmd.Dir = dir
	}
	// No Pdeathsig here: Go's check for a parent that has already died sees none in
	// another PID namespace and would end the child. The site's first process has it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// A daemon that detached itself may keep our pipes open.
	cmd.WaitDelay = 500 * time.Millisecond

	p := &Process{host: h, cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.stdout, &p.stderr

	s := h.site
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return nil, fmt.Errorf("site %s is closed", s.name)
	}
	if err := s.thread.in(h.ns, cmd.Start); err != nil {
		return nil, fmt.Errorf("host %s: start %s: %w", h.name, c.Name, err)
	}
	s.running[p] = struct{}{}
	go p.reap()
	return p, nil
}

func (p *Process) reap() {
	err := p.cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	p.err = err
	close(p.done)
	s := p.host.site
	s.mu.Lock()
	delete(s.running, p)
	s.mu.Unlock()
}

// Run runs a program on the host until it ends, and returns what it wrote: standard
// output followed by standard error. The error holds the same text. When ctx ends first
// the program is killed.
func (h *Host) Run(ctx context.Context, name string, args ...string) (string, error) {
	p, err := h.Start(name, args...)
	if err != nil {
		return "", err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		_ = p.cmd.Process.Kill() // it may have ended just now
		<-p.done
		return p.Output(), fmt.Errorf("host %s: %s: %w\n%s", h.name, p.cmd, ctx.Err(), p.Output())
	}
	if p.err != nil {
		return p.Output(), fmt.Errorf("host %s: %s: %w\n%s", h.name, p.cmd, p.err, p.Output())
	}
	return p.Output(), nil
}

// Pid returns the process id as the machine sees it; the process itself sees another.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends a signal to the process alone. After its end the error is
// os.ErrProcessDone.
func (p *Process) Signal(sig os.Signal) error { return p.cmd.Process.Signal(sig) }

// Done is closed when the process has ended and its output is complete.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the process to end and returns nil for exit status 0, an
// *exec.ExitError otherwise. It may be called any number of times.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// stopGrace is how long Stop waits after SIGTERM.
const stopGrace = 10 * time.Second

// Stop asks the process to end with SIGTERM and waits. A process that does not end in ten
// seconds is killed, and that is an error, as is an exit status other than 0. An end by
// SIGTERM itself is not. Stopping an ended process tells how it ended.
func (p *Process) Stop() error {
	_ = p.Signal(syscall.SIGTERM) // os.ErrProcessDone: Wait knows
	select {
	case <-p.done:
	case <-time.After(stopGrace):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("host %s: %s: killed: no end %v after SIGTERM", p.host.name, p.cmd, stopGrace)
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() && ws.Signal() == syscall.SIGTERM {
			return nil
		}
	}
	return p.err
}

// Stdout returns what the process has written to its standard output so far.
func (p *Process) Stdout() string { return p.stdout.String() }

// Stderr returns what the process has written to its standard error so far.
func (p *Process) Stderr() string { return p.stderr.String() }

// Output returns Stdout followed by Stderr.
func (p *Process) Output() string { return p.Stdout() + p.Stderr() }

// WaitOutput waits until substr appears in the process's standard output or error. It is
// an error, which holds the output, when the process ends or the time is over before.
func (p *Process) WaitOutput(timeout time.Duration, substr string) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		// The channels are taken before looking: what is written later closes them.
		out, err := p.stdout.changed(), p.stderr.changed()
		if strings.Contains(p.Stdout(), substr) || strings.Contains(p.Stderr(), substr) {
			return nil
		}
		var why string
		select {
		case <-out:
			continue
		case <-err:
			continue
		case <-p.done:
			if strings.Contains(p.Stdout(), substr) || strings.Contains(p.Stderr(), substr) {
				return nil
			}
			why = "ended"
		case <-timer.C:
			why = "ran " + timeout.String()
		}
		return fmt.Errorf("host %s: %s: %s without writing %q\n%s", p.host.name, p.cmd, why, substr, p.Output())
	}
}

// An output collects what a process writes and tells who waits for more.
type output struct {
	mu     sync.Mutex // guards what follows
	buf    bytes.Buffer
	change chan struct{} // closed and dropped by the next Write; nil when nobody waits
}

// Write appends b.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.change != nil {
		close(o.change)
		o.change = nil
	}
	return o.buf.Write(b)
}

// String returns all that was written.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// changed returns a channel which the next Write closes.
func (o *output) changed() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.change == nil {
		o.change = make(chan struct{})
	}
	return o.change
}
