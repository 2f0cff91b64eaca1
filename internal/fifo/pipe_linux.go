package fifo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"uvs/internal/command"
)

// The pauses before a reader that has ended is started again double from the first to the last; one that ran for longer
// than the last begins anew.
const (
	MinPause = time.Second
	MaxPause = time.Minute
)

// LineMax is the longest line with its newline: what the kernel writes into a pipe in one piece.
const LineMax = 4096

// fifoMode is what keepalived's umask leaves of the mode of a FIFO.
const fifoMode = 0o600

// A Config describes one FIFO.
type Config struct {
	// Name is the word for it in messages: "" for notify_fifo, else "vrrp" or "lvs".
	Name string
	// Path of the FIFO.
	Path string
	// Owner is whom a FIFO that we make belongs to, nil for ourselves.
	Owner *command.Credential
	// Reader is run with the path as a further argument, and again whenever it ends; nil for none. Its Timeout is 0.
	Reader *command.Program
}

// Options are the parts a [Pipe] is made of.
type Options struct {
	// Start runs the reader, as [command.Runner.Start].
	Start func(ctx context.Context, p command.Program, done func(command.Result)) error
	// OnMessage is told log lines, from any goroutine and also from within Write; nil ignores them.
	OnMessage func(string)
}

// A Pipe is an open FIFO. Safe for use by many goroutines.
type Pipe struct {
	config Config
	opts   Options
	made   bool // by us
	lost   atomic.Uint64
	said   atomic.Bool // that lines are lost

	mu sync.Mutex // guards fd, so that none is written to after its close
	fd int        // -1 when closed
}

// Open makes the FIFO unless there is one, and opens it. The error is that of the system, or that the path is something
// else; then nothing is left behind. Of two open Pipes with one path the first that ends removes the FIFO.
func Open(c Config, o Options) (*Pipe, error) {
	if o.OnMessage == nil {
		o.OnMessage = func(string) {}
	}
	p := &Pipe{config: c, opts: o, fd: -1}
	switch err := unix.Mkfifo(c.Path, fifoMode); {
	case err == nil:
		p.made = true
	case !errors.Is(err, unix.EEXIST):
		return nil, fmt.Errorf("make FIFO %s: %w", c.Path, err)
	}
	if err := p.open(); err != nil {
		if p.made {
			_ = os.Remove(c.Path) // the first error says more
		}
		return nil, err
	}
	return p, nil
}

func (p *Pipe) open() error {
	// Only a FIFO is opened: to open a device may do something.
	info, err := os.Lstat(p.config.Path)
	if err != nil {
		return fmt.Errorf("open FIFO: %w", err)
	}
	if info.Mode().Type() != fs.ModeNamedPipe {
		return fmt.Errorf("%s is not a FIFO", p.config.Path)
	}
	// Open for reading too, so that it can be opened and written to without a reader.
	fd, err := unix.Open(p.config.Path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open FIFO %s: %w", p.config.Path, err)
	}
	if c := p.config.Owner; p.made && c != nil {
		if err := unix.Fchown(fd, int(c.UID), int(c.GID)); err != nil {
			p.opts.OnMessage(fmt.Sprintf("Failed to set uid:gid for fifo %s: %v", p.config.Path, err))
		}
	}
	p.fd = fd
	return nil
}

// Write puts a line, which ends with its newline, into the pipe, whole or not at all. It never waits.
func (p *Pipe) Write(line string) {
	err := p.write(line)
	if err == nil {
		return
	}
	p.lost.Add(1)
	if p.said.Swap(true) {
		return
	}
	if errors.Is(err, unix.EAGAIN) {
		err = errors.New("it is full, as nobody reads it")
	}
	p.opts.OnMessage(fmt.Sprintf("fifo %s loses lines: %v", p.config.Path, err))
}

func (p *Pipe) write(line string) error {
	if len(line) > LineMax {
		return fmt.Errorf("a line of %d bytes is over %d", len(line), LineMax)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fd < 0 {
		return os.ErrClosed
	}
	for {
		_, err := unix.Write(p.fd, []byte(line))
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Lost returns how many lines were not written.
func (p *Pipe) Lost() uint64 { return p.lost.Load() }

// Run keeps the reader running until ctx ends. Then the FIFO is removed if we made it, and closed, by which the reader
// learns that no more comes; it has a second to take that in, as in keepalived, before it is told to end. Run returns nil
// when it has ended. It is to be called once, also without a reader.
func (p *Pipe) Run(ctx context.Context) error {
	defer p.close()
	if p.config.Reader == nil {
		<-ctx.Done()
		return nil
	}
	program := *p.config.Reader
	program.Args = append(slices.Clone(program.Args), p.config.Path)
	pause := MinPause
	for {
		res := p.read(ctx, program)
		if ctx.Err() != nil {
			return nil
		}
		if res.Took > MaxPause {
			pause = MinPause
		}
		p.opts.OnMessage(fmt.Sprintf("%snotify fifo script terminated (%v), started again in %v", p.prefix(), res, pause))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, MaxPause)
	}
}

// Close closes a Pipe that never ran, and removes the FIFO if we made it.
func (p *Pipe) Close() { p.close() }

func (p *Pipe) prefix() string {
	if p.config.Name == "" {
		return ""
	}
	return p.config.Name + " "
}

// read runs the reader once.
func (p *Pipe) read(ctx context.Context, program command.Program) command.Result {
	unwanted, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	results := make(chan command.Result, 1)
	if err := p.opts.Start(unwanted, program, func(r command.Result) { results <- r }); err != nil {
		return command.Result{Err: err}
	}
	select {
	case r := <-results:
		return r
	case <-ctx.Done():
	}
	p.close()
	grace := time.AfterFunc(command.StopGrace, cancel)
	defer grace.Stop()
	return <-results
}

// close removes the FIFO and closes it, in this order, so that a reader that opens it again and again ends.
func (p *Pipe) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fd < 0 {
		return
	}
	if p.made && p.same() {
		_ = os.Remove(p.config.Path) // somebody else may just have done it
	}
	_ = unix.Close(p.fd)
	p.fd = -1
}

// same reports whether the path still is the FIFO that is open.
func (p *Pipe) same() bool {
	var ours unix.Stat_t
	info, err := os.Lstat(p.config.Path)
	if err != nil || unix.Fstat(p.fd, &ours) != nil {
		return false
	}
	now, ok := info.Sys().(*syscall.Stat_t)
	return ok && now.Ino == ours.Ino && uint64(now.Dev) == uint64(ours.Dev) //nolint:unconvert // 32 bits on mips
}
