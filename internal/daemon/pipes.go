package daemon

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"uvs/config"
	"uvs/internal/command"
	"uvs/internal/fifo"
)

// An openPipe is a notify FIFO with what it is for. One of the same path as another that goes
// can only be opened when that one has ended, for which its reader has a second: lines wait
// meanwhile. It is guarded by herald.mu.
type openPipe struct {
	fifoPlan
	rules config.Scripts // that its reader runs under

	pipe  *fifo.Pipe         // nil as long as it is not open, or if it could not be
	early []string           // lines to be written once it is
	stop  context.CancelFunc // ends it; nil before it was begun
	ended chan struct{}      // closed when it has ended
}

// mostEarly bounds the lines that wait for a pipe: more than a reload of hundreds of instances
// says within a second.
const mostEarly = 4096

// same reports whether a pipe is what a plan asks for.
func (p *openPipe) same(f *fifoPlan, rules config.Scripts) bool {
	return reflect.DeepEqual(p.fifoPlan, *f) && (f.Script == nil || p.rules == rules)
}

// openPipes are the pipes of a plan: those that stay, and others, which are opened. The error
// names what is new and cannot be had; what could not be had before is tried once more. h.mu is
// held.
func (h *herald) openPipes(p *heraldPlan, by *programs) (pipes []*openPipe, failed error) {
	for n := range p.fifos {
		f := &p.fifos[n]
		at := slices.IndexFunc(h.pipes, func(o *openPipe) bool { return o.same(f, p.rules) })
		if at >= 0 && h.pipes[at].stop != nil {
			pipes = append(pipes, h.pipes[at])
			continue
		}
		x := &openPipe{fifoPlan: *f, rules: p.rules, ended: make(chan struct{})}
		pipes = append(pipes, x)
		c, err := fifoConfig(&f.FIFO, by)
		if err == nil && h.predecessor(x) == nil {
			x.pipe, err = h.openFIFO(c)
		}
		if err != nil && at < 0 {
			failed = errors.Join(failed, fmt.Errorf("%s: notify FIFO: %w", p.where[f.Path], err))
		}
	}
	return pipes, failed
}

// predecessor is another pipe of the same path that is open. h.mu is held.
func (h *herald) predecessor(x *openPipe) *openPipe {
	for _, o := range h.pipes {
		if o != x && o.Path == x.Path && o.stop != nil {
			return o
		}
	}
	return nil
}

// drop closes those of a list that are not in use. h.mu is held.
func (h *herald) drop(pipes []*openPipe) {
	for _, x := range pipes {
		if x.pipe != nil && x.stop == nil {
			x.pipe.Close()
		}
	}
}

// usePipes goes over to a list that openPipes made. Nothing is waited for. h.mu is held.
func (h *herald) usePipes(pipes []*openPipe) {
	for _, o := range h.pipes {
		if o.stop != nil && !slices.Contains(pipes, o) {
			o.stop()
		}
	}
	for _, x := range pipes {
		if x.stop != nil {
			continue
		}
		before := h.predecessor(x)
		if x.pipe == nil && before == nil {
			continue // it could not be had
		}
		ctx, cancel := context.WithCancel(h.ctx)
		x.stop = cancel
		h.ended.Go(func() {
			defer close(x.ended)
			if x.pipe != nil || h.openLate(ctx, x, before) {
				_ = x.pipe.Run(ctx) // returns nil
			}
		})
	}
	h.pipes = pipes
}

// openLate opens a pipe when the one before has ended, and writes what has been waiting.
func (h *herald) openLate(ctx context.Context, x, before *openPipe) bool {
	<-before.ended
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	c, err := fifoConfig(&x.FIFO, h.programs)
	if err == nil {
		x.pipe, err = h.openFIFO(c)
	}
	if err != nil {
		h.log.Error("a notify FIFO is not served", "path", x.Path, "error", err)
		return false
	}
	for _, line := range x.early {
		x.pipe.Write(line)
	}
	x.early = nil
	return true
}

// write writes a line into the pipes that it is for. h.mu is held.
func (h *herald) write(line string, to func(*fifoPlan) bool) {
	for _, p := range h.pipes {
		switch {
		case !to(&p.fifoPlan):
		case p.pipe != nil:
			p.pipe.Write(line)
		case p.stop != nil && len(p.early) < mostEarly:
			p.early = append(p.early, line)
		}
	}
}

// fifoConfig is a FIFO in the terms of its package. The error is that a user or group is not there.
func fifoConfig(f *config.FIFO, by *programs) (fifo.Config, error) {
	c := fifo.Config{Path: f.Path}
	if f.User != "" {
		owner, err := command.LookupUser(f.User, f.Group, false)
		if err != nil {
			return c, err
		}
		c.Owner = owner
	}
	if f.Script != nil {
		reader, err := by.program(f.Script.Args, f.Script.User, f.Script.Group)
		if err != nil {
			return c, err
		}
		c.Reader = &reader
	}
	return c, nil
}

func (h *herald) openFIFO(c fifo.Config) (*fifo.Pipe, error) {
	return fifo.Open(c, fifo.Options{Start: h.programs.runner.Start, OnMessage: func(text string) { h.log.Info(text) }})
}
