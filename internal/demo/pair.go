package demo

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"uvs/control"
)

// How long the phases of two directors are watched. A request whose first packet was lost is
// answered a second later.
const (
	calmTime  = 2 * time.Second
	phaseTime = 2500 * time.Millisecond
)

const (
	pairSize = 2
	pairFlag = "--vs=sloppy_tcp=1" // a director takes connections that another one began
)

// pairSteps is the story of two directors between which the addresses float.
func (s *scenario) pairSteps() []func(context.Context) error {
	return []func(context.Context) error{
		s.startPair, s.calm,
		func(ctx context.Context) error {
			return s.phase(ctx, "2", "director1, the master, is killed (SIGKILL)", 1, func(context.Context) error {
				return s.directors[0].proc.Signal(os.Kill)
			})
		},
		func(ctx context.Context) error {
			return s.phase(ctx, "3", "director1 is started again and takes over", 0, func(ctx context.Context) error { return s.startDirector(ctx, 0) })
		},
		func(ctx context.Context) error {
			return s.phase(ctx, "4", "director1 is stopped (SIGTERM)", 1, func(context.Context) error {
				return s.directors[0].proc.Signal(syscall.SIGTERM)
			})
		},
		s.endPair,
	}
}

// startPair starts the servers, and directors until the first one is master.
func (s *scenario) startPair(ctx context.Context) error {
	s.screen.heading(fmt.Sprintf("%s: a client, two directors and %d real servers, each in a network namespace", s.plan.mode, serverCount))
	s.screen.text(s.plan.picture())
	s.screen.textf("\n$ cat keepalived.conf          # of director2: priority %d\n%s\n$ uvs run -f keepalived.conf %s\n",
		s.plan.priority(1), s.plan.config(0), pairFlag)
	if err := s.startServers(); err != nil {
		return err
	}
	began := time.Now()
	s.directors = make([]*director, pairSize)
	for i := range s.directors {
		if err := s.startDirector(ctx, i); err != nil {
			return err
		}
	}
	s.director = s.directors[1] // it lives to the end
	if _, err := poll(ctx, startTimeout, s.masterIs(ctx, 0)); err != nil {
		return fmt.Errorf("wait until director1 is master: %w", err)
	}
	s.seen.ready = time.Since(began)
	s.screen.textf("director1 is master after %s, director2 is backup.\n", seconds(s.seen.ready))
	return nil
}

// startDirector starts a director, for the first time or again, until it answers its operators.
func (s *scenario) startDirector(ctx context.Context, i int) error {
	running := func(st control.Status) bool { return st.State == control.StateRunning }
	d, status, err := launch(ctx, s.top.Directors[i], s.exe, s.plan.config(i), running, pairFlag)
	if err != nil {
		return err
	}
	if status.Config.Errors > 0 {
		return fmt.Errorf("the configuration does not run as written:\n%s", d.proc.Output())
	}
	if before := s.directors[i]; before != nil {
		d.before = before.before // what a crash left is none of the host's own
	}
	s.directors[i] = d
	return nil
}

// masterIs returns a condition: director i is master, and so it says.
func (s *scenario) masterIs(ctx context.Context, i int) func() (bool, error) {
	return func() (bool, error) {
		status, err := s.directors[i].client.Status(ctx)
		if err != nil || status.VRRP == nil || len(status.VRRP.Instances) != 1 {
			return false, err
		}
		return status.VRRP.Instances[0].State == "MASTER", nil
	}
}

// calm is the first phase: nothing happens. What it has of gaps is this machine's.
func (s *scenario) calm(ctx context.Context) error {
	s.stage("1", "director1 is master")
	s.load = startFlood(ctx, s.top.Clients[0], url(s.plan.vip4, "/"))
	s.tally = newTally(time.Now(), serverCount)
	if _, err := s.until(ctx, func() (bool, error) { return len(s.load.since(0)) > 0, nil }); err != nil {
		return fmt.Errorf("wait for the first answer: %w", err)
	}
	p := phase{began: time.Now()}
	p.taken = p.began
	err := s.watch(ctx, calmTime)
	p.ended = time.Now()
	s.seen.phases = []phase{p}
	return err
}

// phase does something to a director and waits for the other one, or itself, to be master.
func (s *scenario) phase(ctx context.Context, number, title string, heir int, act func(context.Context) error) error {
	s.stage(number, title)
	p := phase{began: time.Now(), heir: heir}
	if err := act(ctx); err != nil {
		return err
	}
	s.say(p.began, "%s", title)
	taken, err := s.until(ctx, s.masterIs(ctx, heir))
	if err != nil {
		return fmt.Errorf("wait until director%d is master: %w", heir+1, err)
	}
	p.taken = taken
	s.say(taken, "director%d is master after %s", heir+1, millis(taken.Sub(p.began)))
	err = s.watch(ctx, phaseTime)
	p.ended = time.Now()
	s.seen.phases = append(s.seen.phases, p)
	return err
}

// endPair ends the load and stops the other director.
func (s *scenario) endPair(ctx context.Context) error {
	s.load.stop()
	s.seen.requests = s.load.since(0)
	for i := range s.seen.phases {
		p := &s.seen.phases[i]
		gap, failed, late := p.service(s.seen.requests)
		s.screen.textf("Stage %d: %s without service; %d requests failed, %d took longer than %s.\n", i+1, millis(gap), failed, late, millis(lateRequest))
	}
	s.stage("5", "director2 is stopped, too")
	began := time.Now()
	for _, d := range s.directors {
		if err := d.proc.Stop(); err != nil && s.seen.stopErr == nil {
			s.seen.stopErr = err
		}
	}
	s.screen.textf("$ kill -TERM director2   # %s\n", seconds(time.Since(began)))
	for _, d := range s.directors {
		left, err := d.leftovers(ctx)
		if err != nil {
			return err
		}
		s.seen.left = append(s.seen.left, left...)
	}
	s.screen.textf("$ uvs cleanup            # on both\n%s\n", orNothing(s.seen.left, "nothing to remove"))
	return nil
}
