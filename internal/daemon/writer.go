package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"uvs/control"
	"uvs/forwarding"
	"uvs/health"
	"uvs/internal/table"
)

// commit makes a changed copy of the table the table: what packets need comes first
// (steering, capture), then the engine's services; what nothing needs any more goes last.
// If a step fails the steps before are taken back, and the table is as it was. d.mu is held.
func (d *director) commit(next *table.Table) error {
	services := next.Services()
	step := d.effective.Load().stepTo(services, d.marks.rules(services))
	var undo undoList
	err := d.makeWay(&step, &undo)
	if err == nil {
		err = d.enter(next, &step)
	}
	if err != nil {
		return errors.Join(err, undo.run())
	}
	d.publish(next, step.to)
	d.finish()
	return nil
}

// makeWay steers and captures what a coming table needs beside what there is. d.mu is held.
func (d *director) makeWay(s *step, undo *undoList) error {
	if !s.whole {
		return nil
	}
	old := *d.goal.Load()
	both := old.with(s.to.goal)
	if both.equal(old) {
		return nil
	}
	undo.add(func() error { return d.aim(old) })
	return d.aim(both)
}

// enter makes the engine's services those of a coming table, all or none. d.mu is held.
func (d *director) enter(next *table.Table, s *step) error {
	return d.engine.Update(func(tx *forwarding.Tx) error { return s.sync(tx, fates(d.table, next)) })
}

// publish makes the table that the engine has entered the one in force. d.mu is held.
func (d *director) publish(next *table.Table, e *effective) {
	d.table = next
	was := d.effective.Swap(e)
	d.tellMarks()
	d.tell(turns(was.services, e.services))
}

// tell tells of servers and services, but for the start, of which keepalived tells nothing either.
func (d *director) tell(list []turn) {
	if d.state.Load() == control.StateRunning {
		d.herald.tellTurns(list)
	}
}

// finish lets go of what the table before needed. d.mu is held.
func (d *director) finish() {
	if err := d.settle(); err != nil {
		// More is steered than needed until the reconciler succeeds.
		d.log.Error("the services changed and not all could be followed; trying again", "error", err)
	}
}

// settle lets go of what neither the table nor a flow of a removed server needs. d.mu is
// held.
func (d *director) settle() error {
	want := d.effective.Load().goal.plus(matches(d.engine.LeavingServices()), matches(d.engine.Lingering()))
	if want.equal(*d.goal.Load()) {
		return nil
	}
	return d.aim(want)
}

// letGo settles now and then, as flows of removed servers end. Whoever changes the table
// does so anyway.
func (d *director) letGo() {
	if !d.mu.TryLock() {
		return
	}
	defer d.mu.Unlock()
	if err := d.settle(); err != nil {
		d.log.Error("steering could not be changed; trying again", "error", err)
	}
}

// aim makes a goal that of the reconciler, and reconciles.
func (d *director) aim(g goal) error {
	d.goal.Store(&g)
	d.engine.SetAnswering(answering(g.servers))
	d.inLineMu.Lock()
	defer d.inLineMu.Unlock()
	d.inLine.with = nil
	return d.reconcile(d.network.Snapshot())
}

// onHealth carries the checks' events into the log and the service table. What changes at one
// moment is one commit: a commit goes over all services, and if a thousand servers fail at once
// the last one is not to wait for a thousand of them.
func (d *director) onHealth(events []health.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := d.table
	change := func() *table.Table { // a copy, once there is something to change
		if next == d.table {
			next = d.table.Clone()
		}
		return next
	}
	for _, e := range events {
		if e.Message != "" {
			d.log.Info(e.Message)
		}
		c, known := d.plan.find(e.Key)
		if !known {
			continue // of a configuration that is not in force any more, or of no server
		}
		switch e.Kind {
		case health.ServerUp, health.ServerDown:
			if e.Kind == health.ServerDown {
				d.doubtServer(c.server.Addr())
			}
			verdict := table.Verdict{Group: c.group, Server: c.server, Up: e.Kind == health.ServerUp}
			if !next.News(verdict) {
				// The first verdict on each server without a checker is that it is up.
				continue
			}
			for i, line := range change().Judge(verdict) {
				var detail []any
				if i == 0 {
					detail = verdictDetail(e)
				}
				d.log.Info(line, detail...)
			}
		case health.ServerWeight:
			for _, line := range change().Weigh(c.group, c.server, table.Weight(e.Weight)) {
				d.log.Info(line)
			}
		}
	}
	if next == d.table {
		return
	}
	if err := d.commit(next); err != nil {
		d.log.Error("service table not changed by the checks", "events", len(events), "error", err)
	}
}

// observe tells the checks of a session or file.
func (d *director) observe(kind health.Kind, name string, o health.Observation) {
	d.health.Observe(kind, name, o)
}

func verdictDetail(e health.Event) []any {
	var detail []any
	if e.Reason != "" {
		detail = append(detail, "reason", e.Reason)
	}
	if e.Since != 0 {
		detail = append(detail, "failing_for", e.Time.Sub(e.Since))
	}
	return detail
}

// Edit implements control.Director.
func (d *director) Edit(_ context.Context, edits []control.Edit) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state.Load() != control.StateRunning {
		return &control.EditError{Code: control.CodeFailed, Message: fmt.Sprintf("this uvs is %s", d.state.Load())}
	}
	next, after, err := edited(d.table, edits)
	if err != nil {
		return err
	}
	if err := d.commit(next); err != nil {
		return &control.EditError{Code: control.CodeFailed, Message: err.Error()}
	}
	for _, do := range after {
		if err := do(d.engine); err != nil && !errors.Is(err, forwarding.ErrNoService) { // not served: it has no counters
			return &control.EditError{Code: control.CodeInvalid, Message: err.Error()}
		}
	}
	for _, e := range edits {
		d.log.Info("service table changed by an operator", "command", string(e.Op), "service", nameOf(e))
	}
	return nil
}

// setTimeouts sets the timeouts of idle connections that are not 0.
func (d *director) setTimeouts(t timeouts) error { return d.engine.SetTimeouts(t.tcp, t.tcpFin, t.udp) }

// Sysctls implements control.Director.
func (d *director) Sysctls(context.Context) ([]control.Sysctl, error) {
	s := d.engine.Sysctls()
	var list []control.Sysctl
	for _, x := range s.List() {
		list = append(list, control.Sysctl{Name: x.Name, Value: x.Value, Default: x.Default, Unserved: x.Unserved})
	}
	return list, nil
}

// SetSysctl implements control.Director.
func (d *director) SetSysctl(_ context.Context, name, value string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.engine.Sysctls()
	if err := s.Set(name, value); err != nil {
		return err
	}
	d.engine.SetSysctls(s)
	d.fallBehind() // backup_only may be another
	d.look()
	d.log.Info("setting changed by an operator", "name", name, "value", value)
	return nil
}

// startSysctls reads settings given as NAME=VALUE.
func startSysctls(list []string) (forwarding.Sysctls, error) {
	s := forwarding.DefaultSysctls()
	for _, text := range list {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return s, fmt.Errorf("setting %q is not NAME=VALUE", text)
		}
		if err := s.Set(strings.TrimSpace(name), strings.TrimSpace(value)); err != nil {
			return s, err
		}
	}
	return s, nil
}
