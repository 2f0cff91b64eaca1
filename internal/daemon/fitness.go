package daemon

import (
	"context"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"

	"uvs/bfd"
	"uvs/bfd/session"
	"uvs/config"
	"uvs/health"
	"uvs/internal/track"
	"uvs/vrrp"
)

// A fitnessPlan is what decides about the fitness of this director beside its network. Where
// it stands in the file is in where alone: lines that move change nothing.
type fitnessPlan struct {
	scripts   []config.VRRPScript // those that an instance or a group follows
	files     []config.TrackFile
	processes []config.TrackProcess
	bfds      []config.BFD
	told      map[vrrp.Object]bool  // what instances and groups follow; the rest is for checks
	rules     config.Scripts        // for scripts
	where     map[string]config.Pos // scripts
}

// sameTracks reports whether two plans have the same scripts, files and processes.
func (p *fitnessPlan) sameTracks(o *fitnessPlan) bool {
	return p.rules == o.rules && reflect.DeepEqual(p.scripts, o.scripts) && reflect.DeepEqual(p.files, o.files) && reflect.DeepEqual(p.processes, o.processes)
}

// sessions are those of BFD.
func (p *fitnessPlan) sessions() (list []session.Config) {
	for _, b := range p.bfds {
		list = append(list, translateBFD(&b))
	}
	return list
}

// planFitness is what of a configuration is followed by anybody. It is pure.
func planFitness(c *config.Config, spec *vrrp.Spec) (p fitnessPlan) {
	followed := make(map[vrrp.Object]bool)
	follow := func(list []vrrp.Tracked) {
		for _, t := range list {
			followed[t.Object] = true
		}
	}
	for _, i := range spec.Instances {
		follow(i.Track)
	}
	for _, g := range spec.Groups {
		follow(g.Track)
	}
	p.told = followed
	checked := make(map[vrrp.Object]bool)
	for _, v := range c.VirtualServers {
		for _, r := range v.RealServers {
			for _, k := range r.Checkers {
				switch k := k.(type) {
				case config.FileCheck:
					checked[vrrp.Object{Kind: vrrp.KindFile, Name: k.Name}] = true
				case config.BFDCheck:
					checked[vrrp.Object{Kind: vrrp.KindBFD, Name: k.Name}] = true
				}
			}
		}
	}
	is := func(kind vrrp.Kind, name string) bool {
		o := vrrp.Object{Kind: kind, Name: name}
		return followed[o] || checked[o]
	}
	p.rules, p.where = c.Global.Scripts, make(map[string]config.Pos)
	for _, x := range c.Scripts {
		if is(vrrp.KindScript, x.Name) {
			p.where[x.Name] = x.Pos
			x.Pos, x.Command.Pos = config.Pos{}, config.Pos{}
			p.scripts = append(p.scripts, x)
		}
	}
	for _, x := range c.TrackFiles {
		if is(vrrp.KindFile, x.Name) {
			x.Pos = config.Pos{}
			p.files = append(p.files, x)
		}
	}
	for _, x := range c.TrackProcesses {
		if is(vrrp.KindProcess, x.Name) {
			x.Pos = config.Pos{}
			p.processes = append(p.processes, x)
		}
	}
	for _, x := range c.BFDs {
		if (x.VRRP || x.Checker) && is(vrrp.KindBFD, x.Name) {
			p.bfds = append(p.bfds, x)
		}
	}
	return p
}

// fitness follows scripts, files, processes and BFD sessions, and tells the Machine.
type fitness struct {
	log      *slog.Logger
	programs *programs
	tell     func(vrrp.Event)
	observe  func(health.Kind, string, health.Observation) // for checks
	sessions *session.Set

	mu      sync.Mutex // guards what follows
	plan    fitnessPlan
	stop    context.CancelFunc // ends the set that runs
	stopped sync.WaitGroup     // waits for it
	ctx     context.Context    // of run; nil before
	written map[string]bool    // paths of files that were given their first number, which is once in a run

	told atomic.Pointer[map[vrrp.Object]bool] // fitnessPlan.told in force

	statesMu sync.Mutex             // guards states; taken after mu
	states   map[string]track.State // of scripts
}

func newFitness(log *slog.Logger, p *programs, tell func(vrrp.Event), observe func(health.Kind, string, health.Observation)) *fitness {
	f := &fitness{log: log, programs: p, tell: tell, observe: observe, written: make(map[string]bool), states: make(map[string]track.State)}
	f.sessions = session.NewSet(f.onSession)
	f.told.Store(new(map[vrrp.Object]bool))
	return f
}

// run follows what apply says until ctx is cancelled.
func (f *fitness) run(ctx context.Context) error {
	f.mu.Lock()
	f.ctx = ctx
	f.begin()
	f.mu.Unlock()
	err := f.sessions.Run(ctx)
	<-ctx.Done()
	f.stopped.Wait()
	return err
}

// apply replaces what is followed. Scripts keep their state.
func (f *fitness) apply(p fitnessPlan) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sessions.Apply(p.sessions())
	same := f.plan.sameTracks(&p)
	f.plan = p
	f.told.Store(&p.told)
	if f.ctx != nil && !same {
		f.begin()
	}
}

// begin starts to follow the plan, in the place of the one before. f.mu is held.
func (f *fitness) begin() {
	if f.stop != nil {
		f.stop()
		f.stopped.Wait()
	}
	ctx, cancel := context.WithCancel(f.ctx)
	f.stop = cancel
	scripts, files, processes := f.tracked()
	set := track.NewSet(track.Options{Start: f.programs.runner.Start, OnEvent: f.onTrack}, scripts, files, processes)
	f.stopped.Go(func() {
		if err := set.Run(ctx); err != nil && ctx.Err() == nil {
			f.log.Error("tracking has ended", "error", err)
		}
	})
}

// tracked is the plan in the terms of track. A script whose user does not exist is down.
func (f *fitness) tracked() (scripts []track.Script, files []track.File, processes []track.Process) {
	f.statesMu.Lock()
	defer f.statesMu.Unlock()
	for _, x := range f.plan.scripts {
		program, err := f.programs.program(x.Command.Args, x.Command.User, x.Command.Group)
		if err != nil {
			f.log.Error("a tracked script cannot be run", "script", x.Name, "error", err, "config", f.plan.where[x.Name].String())
			f.tell(vrrp.ObjectChanged{Object: vrrp.Object{Kind: vrrp.KindScript, Name: x.Name}, Reason: err.Error()})
			continue
		}
		program.Timeout = x.Timeout
		scripts = append(scripts, track.Script{
			Name: x.Name, Program: program, Interval: x.Interval, Rise: x.Rise, Fall: x.Fall, InitFail: x.InitFail, Start: f.states[x.Name],
		})
	}
	for _, x := range f.plan.files {
		files = append(files, track.File{
			Name: x.Name, Path: x.Path, Init: x.Init, Create: x.InitCreate, Overwrite: x.InitOverwrite && !f.written[x.Path],
		})
		f.written[x.Path] = true
	}
	for _, x := range f.plan.processes {
		processes = append(processes, track.Process{
			Name: x.Name, Program: x.Process, FullCommand: x.FullCommand, Args: x.Args, Match: translateMatch(x.Match),
			Quorum: x.Quorum, QuorumMax: x.QuorumMax, ForkDelay: x.ForkDelay, TerminateDelay: x.TerminateDelay,
		})
	}
	return scripts, files, processes
}

func translateMatch(word string) track.Match {
	switch word {
	case "exact":
		return track.MatchExact
	case "partial":
		return track.MatchPartial
	case "initial":
		return track.MatchInitial
	}
	return track.MatchNone
}

func translateBFD(b *config.BFD) session.Config {
	return session.Config{
		Config: bfd.Config{Name: b.Name, MinTx: b.MinTx, MinRx: b.MinRx, IdleTx: b.IdleTx, Multiplier: b.Multiplier, Passive: b.Passive},
		Peer:   b.Neighbour, Source: b.Source, TTL: b.TTL, MaxHops: b.MaxHops, MultiHop: b.MultiHop,
	}
}

// onTrack carries an event into the Machine and the log.
func (f *fitness) onTrack(e track.Event) {
	if e.Message != "" {
		level := slog.LevelInfo
		if e.Detail {
			level = slog.LevelDebug
		}
		f.log.Log(context.Background(), level, e.Message)
	}
	if !e.Changed {
		return
	}
	kinds := map[track.Kind]vrrp.Kind{track.KindScript: vrrp.KindScript, track.KindFile: vrrp.KindFile, track.KindProcess: vrrp.KindProcess}
	if e.Kind == track.KindScript {
		f.statesMu.Lock()
		f.states[e.Name] = track.Down
		if e.Up {
			f.states[e.Name] = track.Up
		}
		f.statesMu.Unlock()
	}
	if e.Kind == track.KindFile {
		f.observe(health.File, e.Name, health.Observation{Up: true, Value: e.Value})
	}
	if o := (vrrp.Object{Kind: kinds[e.Kind], Name: e.Name}); f.tells(o) {
		f.tell(vrrp.ObjectChanged{Object: o, Up: e.Up, Value: e.Value, Reason: e.Reason})
	}
}

// tells reports whether an instance or a group follows an object.
func (f *fitness) tells(o vrrp.Object) bool { return (*f.told.Load())[o] }

// onSession does so for BFD.
func (f *fitness) onSession(e session.Event) {
	if e.Message != "" {
		f.log.Info(e.Message)
	}
	if e.Kind != session.Turned {
		return
	}
	f.observe(health.BFD, e.Name, health.Observation{Up: e.Up})
	if o := (vrrp.Object{Kind: vrrp.KindBFD, Name: e.Name}); f.tells(o) {
		f.tell(vrrp.ObjectChanged{Object: o, Up: e.Up, Reason: e.Reason})
	}
}
