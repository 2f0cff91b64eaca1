package command

import (
	"context"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// The times of a program's end.
const (
	// KillDelay is between SIGTERM and SIGKILL for a program that is over its Timeout or no longer wanted.
	KillDelay = 2 * time.Second
	// StopGrace is what programs without a Timeout still have when the Runner ends, as in keepalived.
	StopGrace = time.Second
)

// The bounds that Options replaces.
const (
	DefaultMax        = 256
	DefaultMaxWaiting = 4096
)

// Options are the bounds of a [Runner].
type Options struct {
	// Max is how many checks, and how many other programs, run at once. Not positive: DefaultMax.
	Max int
	// MaxWaiting is how many of each kind wait for room. Not positive: DefaultMaxWaiting.
	MaxWaiting int
}

// A Runner runs programs, two goroutines and one process for each. Safe for use by many goroutines.
type Runner struct {
	opts     Options
	forks    chan func()   // to the thread whose children the programs are
	stopping chan struct{} // closed when Run's context ends: checks end
	killing  chan struct{} // closed StopGrace later: all end

	mu      sync.Mutex // guards what follows
	stopped bool       // nothing is taken any more
	jobs    sync.WaitGroup
	lanes   [2]lane // programs without and with a timeout
}

// A lane is the room for one kind of program.
type lane struct {
	running int
	waiting []*job // oldest first
}

// A job is a program and who waits for it.
type job struct {
	Program
	ctx  context.Context
	done func(Result)
}

// NewRunner returns a Runner that starts nothing before its Run.
func NewRunner(o Options) *Runner {
	if o.Max <= 0 {
		o.Max = DefaultMax
	}
	if o.MaxWaiting <= 0 {
		o.MaxWaiting = DefaultMaxWaiting
	}
	return &Runner{opts: o, forks: make(chan func()), stopping: make(chan struct{}), killing: make(chan struct{})}
}

// Start has a program run and returns at once. Its end is told by one call of done, from another goroutine, which nothing
// but the program's successor in a queue waits for. When ctx ends the program is told to end too. The error is [ErrBusy]
// or [ErrStopped]; then done is not called. Programs that are asked for before Run wait for it.
func (r *Runner) Start(ctx context.Context, p Program, done func(Result)) error {
	j := &job{Program: p, ctx: ctx, done: done}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := &r.lanes[0]
	if p.Timeout > 0 {
		l = &r.lanes[1]
	}
	switch {
	case r.stopped:
		return ErrStopped
	case l.running < r.opts.Max:
		l.running++
		r.jobs.Go(func() { r.work(l, j) })
	case len(l.waiting) < r.opts.MaxWaiting:
		l.waiting = append(l.waiting, j)
	default:
		return ErrBusy
	}
	return nil
}

// Run does the running until ctx ends, and returns nil when all programs have ended. Then checks are told to end at once
// and are killed with what else still runs [StopGrace] later; what waits and has no timeout may still start in that time.
// It may be called once.
func (r *Runner) Run(ctx context.Context) error {
	quit := make(chan struct{})
	var forker sync.WaitGroup
	forker.Go(func() { r.fork(quit) })
	<-ctx.Done()
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	close(r.stopping)
	kill := time.AfterFunc(StopGrace, func() { close(r.killing) })
	r.jobs.Wait()
	kill.Stop()
	close(quit)
	forker.Wait()
	return nil
}

// fork starts programs on one thread that lives as long as the Runner: the kernel ends a child with Pdeathsig when the
// thread ends that made it, and threads of Go end with goroutines that are locked to them. The thread ends, too.
func (r *Runner) fork(quit chan struct{}) {
	runtime.LockOSThread()
	for {
		select {
		case start := <-r.forks:
			start()
		case <-quit:
			return
		}
	}
}

// work runs a job and then those that wait for room.
func (r *Runner) work(l *lane, j *job) {
	for j != nil {
		j.done(r.run(j))
		j = r.next(l)
	}
}

// next takes the oldest job that waits, or gives the room back.
func (r *Runner) next(l *lane) *job {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(l.waiting) == 0 {
		l.running--
		l.waiting = nil
		return nil
	}
	j := l.waiting[0]
	l.waiting[0] = nil
	l.waiting = l.waiting[1:]
	return j
}

// over is closed when a job is no longer to be started.
func (r *Runner) over(j *job) chan struct{} {
	if j.Timeout > 0 {
		return r.stopping
	}
	return r.killing
}

// run runs a job to its end.
func (r *Runner) run(j *job) Result {
	began := time.Now()
	cmd, err := r.start(j)
	if err != nil {
		return Result{Err: err}
	}
	res := r.supervise(cmd, j)
	res.Took = time.Since(began)
	return res
}

// start resolves and checks a program and starts it.
func (r *Runner) start(j *job) (cmd *exec.Cmd, err error) {
	over := r.over(j)
	select {
	case <-over:
		return nil, ErrStopped
	case <-j.ctx.Done():
		return nil, ErrStopped
	default:
	}
	args, err := resolve(j.Args)
	if err != nil {
		return nil, err
	}
	if j.Secure {
		if err := protect(args[0], j.As); err != nil {
			return nil, err
		}
	}
	started := make(chan struct{})
	select {
	case r.forks <- func() {
		cmd, err = spawn(args, j.As)
		close(started)
	}:
		<-started
		return cmd, err
	case <-over:
	case <-j.ctx.Done():
	}
	return nil, ErrStopped
}

// resolve finds what is to be executed.
func resolve(args []string) ([]string, error) {
	if len(args) == 0 || args[0] == "" {
		return nil, exec.ErrNotFound
	}
	if file, ok := opened(args); ok {
		return []string{"/bin/sh", "-c", `: <"$1"`, "sh", file}, nil
	}
	if filepath.IsAbs(args[0]) {
		return args, nil
	}
	name, err := exec.LookPath(args[0])
	if err != nil {
		return nil, err
	}
	return append([]string{name}, args[1:]...), nil
}
