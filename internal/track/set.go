package track

import (
	"context"
	"fmt"
	"sync"
	"time"

	"uvs/internal/command"
	"uvs/internal/mono"
)

// The times that Options replaces.
const (
	// DefaultProcessInterval is between two looks at all processes: some 10 µs each. The end of one that was counted is
	// seen at once.
	DefaultProcessInterval = time.Second
	// DefaultFileInterval is between two looks at a file whose directory cannot be watched. Files that are watched are
	// looked at FileSafety times as rarely, for file systems that tell nothing of changes by others.
	DefaultFileInterval = time.Second
	// FileSafety is that factor.
	FileSafety = 10
)

// Options are the parts a [Set] is made of.
type Options struct {
	// Start runs programs, as [command.Runner.Start].
	Start func(ctx context.Context, p command.Program, done func(command.Result)) error
	// OnEvent is told each event, one at a time, from the goroutine of Run. What is tracked waits for it.
	OnEvent func(Event)
	// ProcessInterval and FileInterval replace the defaults if over 0.
	ProcessInterval, FileInterval time.Duration
	// ProcDir is where processes are looked for; "" is /proc.
	ProcDir string
}

// A Set tracks scripts, files and processes: one goroutine for each script, one for all files, one for all processes.
type Set struct {
	opts      Options
	scripts   []Script
	files     []File
	processes []Process
	events    chan Event // unbuffered: from the trackers to Run
}

// NewSet returns a Set that starts nothing before its Run. It keeps the slices and never writes to them.
func NewSet(o Options, scripts []Script, files []File, processes []Process) *Set {
	if o.ProcessInterval <= 0 {
		o.ProcessInterval = DefaultProcessInterval
	}
	if o.FileInterval <= 0 {
		o.FileInterval = DefaultFileInterval
	}
	if o.ProcDir == "" {
		o.ProcDir = "/proc"
	}
	return &Set{opts: o, scripts: scripts, files: files, processes: processes, events: make(chan Event)}
}

// Run tracks until ctx ends, and returns nil when everything it started has ended. It begins with an event for the first
// value of each file and the first number of each process. It may be called once.
func (s *Set) Run(ctx context.Context) error {
	var trackers sync.WaitGroup
	for i := range s.scripts {
		trackers.Go(func() { s.runScript(ctx, &s.scripts[i]) })
	}
	if len(s.files) > 0 {
		trackers.Go(func() { s.runFiles(ctx) })
	}
	if len(s.processes) > 0 {
		trackers.Go(func() { s.runProcesses(ctx) })
	}
	for {
		select {
		case e := <-s.events:
			s.opts.OnEvent(e)
		case <-ctx.Done():
			trackers.Wait()
			return nil
		}
	}
}

// tell passes events on; they are lost when ctx has ended.
func (s *Set) tell(ctx context.Context, events ...Event) {
	for _, e := range events {
		select {
		case s.events <- e:
		case <-ctx.Done():
			return
		}
	}
}

// runScript runs one script, never twice at once.
func (s *Set) runScript(ctx context.Context, sc *Script) {
	m := NewScriptMachine(sc)
	results := make(chan command.Result, 1)
	var began mono.Time // of the run under way, else 0
	start := func() {
		began = mono.Now()
		if err := s.opts.Start(ctx, sc.Program, func(r command.Result) { results <- r }); err != nil {
			results <- command.Result{Err: err}
		}
	}
	tick := time.NewTicker(sc.Interval)
	defer tick.Stop()
	start()
	for {
		select {
		case <-ctx.Done():
			if began != 0 {
				<-results
			}
			return
		case r := <-results:
			began = 0
			s.tell(ctx, m.Step(mono.Now(), r)...)
		case <-tick.C:
			if began == 0 {
				start()
				continue
			}
			s.tell(ctx, skipped(m, sc, mono.Now(), began))
		}
	}
}

// skipped is a run that is left out because the one before has not ended.
func skipped(m *ScriptMachine, sc *Script, now, began mono.Time) Event {
	what := "already running"
	if now.Sub(began) >= sc.Program.Timeout {
		what = "being timed out"
	}
	return m.event(now, fmt.Sprintf("Track script %s is %s, expect idle - skipping run", sc.Name, what))
}

// quorumReason says what is wrong with a number of processes.
func quorumReason(p *Process, count int) string {
	switch {
	case uint64(count) > uint64(p.QuorumMax):
		return fmt.Sprintf("%d processes %s, at most %d may run", count, p.Program, p.QuorumMax)
	case p.Quorum == 1:
		return "no process " + p.Program
	}
	return fmt.Sprintf("%d processes %s, %d must run", count, p.Program, p.Quorum)
}
