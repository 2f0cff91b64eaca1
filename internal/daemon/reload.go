package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"uvs/bfd/session"
	"uvs/control"
	"uvs/internal/hostnet"
	"uvs/internal/table"
	"uvs/vrrp"
	"uvs/vrrp/router"
)

// A changeover is a reload. It has three parts: what to go over to is planned, which changes
// nothing; all that the machine may refuse is prepared, beside what runs, and taken back if one
// thing is refused; then nothing can fail any more, and it is carried out.
type changeover struct {
	d      *director
	config loaded
	plan   plan
	table  *table.Table
	marks  *markSource
	step   step // from the effective table to what follows from this one

	changes []string // what is another than before, for people
	quorums []string // log lines about quorums

	pipes   []*openPipe // of the plan
	release func()      // lets go of sockets that were opened and not used
}

// Reload implements control.Director. Systemd is told when it begins and ends, while nobody
// waits for d.mu.
func (d *director) Reload(ctx context.Context, how control.Reloading) (control.Reloaded, error) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	if !how.DryRun && d.state.Load() == control.StateRunning { // else systemd waits for another word
		d.tellSystemd(d.opts.Systemd.Reloading())
		defer func() { d.tellSystemd(d.opts.Systemd.Ready(d.statusLine())) }()
	}
	r, err := d.reload(ctx, how)
	if err != nil {
		return control.Reloaded{}, fmt.Errorf("reload: nothing changed: %w", err)
	}
	return r, nil
}

func (d *director) reload(ctx context.Context, how control.Reloading) (control.Reloaded, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, err := d.planChangeover(d.network.Snapshot())
	if err != nil {
		return control.Reloaded{}, err
	}
	if !how.DryRun {
		var undo undoList
		if err := c.prepare(ctx, &undo); err != nil {
			if left := undo.run(); left != nil {
				// It is more than needed, and the reconciler goes over it again.
				d.log.Error("not all that a refused reload had prepared could be taken back", "error", left)
			}
			return control.Reloaded{}, err
		}
		c.carryOut(context.WithoutCancel(ctx)) // who asked may go away meanwhile
	}
	return control.Reloaded{Changes: slices.Concat([]string{}, c.changes), Notes: slices.Concat([]string{}, c.config.notes)}, nil
}

// planChangeover reads the configuration and says what it comes to. It changes nothing. d.mu is
// held.
func (d *director) planChangeover(s *hostnet.Snapshot) (*changeover, error) {
	if d.opts.source().name() == "" {
		return nil, errors.New("this uvs runs without a configuration file")
	}
	config, next, err := d.read(s)
	if err == nil {
		err = config.refuse()
	}
	if err != nil {
		return nil, err
	}
	c := &changeover{d: d, config: config, plan: next, table: d.table.Clone(), marks: &markSource{file: next.marks, told: d.marks.told}}
	c.changes = c.table.Load(next.services)
	c.changes = append(c.changes, c.table.Extend(next.extras)...)
	c.changes = append(c.changes, diffPlans(&d.plan, &next)...)
	c.quorums = c.table.Reckon()
	services := c.table.Services()
	c.step = d.effective.Load().stepTo(services, c.marks.rules(services))
	c.changes = append(c.changes, departures(d.engine, c.step.to, fates(d.table, c.table))...)
	return c, nil
}

// prepare does all that can fail. Each step leaves its undoing; the last one is done whole or not
// at all, and there is no way back from it.
func (c *changeover) prepare(ctx context.Context, undo *undoList) error {
	for _, step := range []func(context.Context, *undoList) error{
		c.preparePrograms, c.prepareBFD, c.preparePipes, c.prepareDevices, c.prepareVRRP, c.prepareTimeouts, c.prepareWay, c.enter,
	} {
		if err := step(ctx, undo); err != nil {
			return err
		}
	}
	return nil
}

// preparePrograms looks for the users that programs are to run as. Programs of before that have
// none go on without.
func (c *changeover) preparePrograms(context.Context, *undoList) error {
	before := c.d.programs.under(c.d.plan.scripts)
	hopeless := make(map[string]bool)
	for _, x := range c.d.plan.commands() {
		if _, err := before.program(x.args, x.user, x.group); err != nil {
			hopeless[err.Error()] = true
		}
	}
	by := c.d.programs.under(c.plan.scripts)
	for _, x := range c.plan.commands() {
		if _, err := by.program(x.args, x.user, x.group); err != nil && !hopeless[err.Error()] {
			return fmt.Errorf("%s: %w", x.by, err)
		}
	}
	return nil
}

// prepareBFD tries the sockets of new sessions.
func (c *changeover) prepareBFD(context.Context, *undoList) error {
	return session.Try(c.plan.fitness.sessions(), c.d.plan.fitness.sessions())
}

// preparePipes opens new FIFOs.
func (c *changeover) preparePipes(_ context.Context, undo *undoList) (err error) {
	if c.pipes, err = c.d.herald.prepare(&c.plan.herald, c.d.programs.under(c.plan.scripts)); err != nil {
		return err
	}
	undo.add(func() error { c.d.herald.discard(c.pipes); return nil })
	return nil
}

// prepareDevices makes the devices of new instances.
func (c *changeover) prepareDevices(ctx context.Context, undo *undoList) error {
	remove, err := c.d.macs.prepare(ctx, c.d.network.Snapshot, c.plan.devices)
	if err != nil {
		return err
	}
	undo.add(remove)
	return nil
}

// prepareVRRP opens the sockets of new instances.
func (c *changeover) prepareVRRP(_ context.Context, undo *undoList) (err error) {
	places := make(map[string]router.Place)
	s, p := c.d.network.Snapshot(), &c.plan.vrrp
	for n := range p.instances {
		places[p.instances[n].name] = p.instances[n].place(s, c.d.links, p.virtual)
	}
	if c.release, err = c.d.floating.router.Prepare(p.ends, places); err != nil {
		return err
	}
	undo.add(func() error { c.release(); return nil })
	return nil
}

// prepareTimeouts sets the timeouts that the file has changed. They are the only thing that is in
// force a moment before the rest.
func (c *changeover) prepareTimeouts(_ context.Context, undo *undoList) error {
	var before timeouts
	before.tcp, before.tcpFin, before.udp = c.d.engine.Timeouts()
	if err := c.d.setTimeouts(c.plan.timeouts.since(c.d.plan.timeouts)); err != nil {
		return err
	}
	undo.add(func() error { return c.d.setTimeouts(before) })
	return nil
}

// prepareWay steers and captures for the new services and the addresses that are to come.
func (c *changeover) prepareWay(_ context.Context, undo *undoList) error {
	c.d.holdings.expect(c.plan.holdings.addresses)
	undo.add(func() error { c.d.holdings.expect(nil); return nil })
	return c.d.makeWay(&c.step, undo)
}

// enter changes the engine's services, all or none.
func (c *changeover) enter(context.Context, *undoList) error { return c.d.enter(c.table, &c.step) }

// carryOut goes over. What the host does not do now is logged and shown, as it is at any other
// time, and tried again.
func (c *changeover) carryOut(ctx context.Context) {
	d, next := c.d, &c.plan
	d.marks = c.marks
	// Those are told who were before: herald.apply comes later.
	d.tell(partings(d.effective.Load().services, c.step.to.services))
	d.publish(c.table, c.step.to)
	// Addresses that go are gone before steering lets go of their services, so that no stack
	// answers for these in between. Those that come follow what packets need.
	d.holdings.rename(vrrp.Renames(d.plan.vrrp.spec.Instances, next.vrrp.spec.Instances))
	if err := d.holdings.setPlan(d.network.Snapshot(), next.holdings); err != nil {
		d.log.Error("not all that the configuration left out could be removed; the next reload and the stop try again", "error", err)
	}
	d.finish()
	d.plan, d.config = c.plan, c.config
	for _, line := range c.quorums {
		d.log.Info(line)
	}
	d.holdings.take(d.network.Snapshot(), "")
	d.programs.configure(next.scripts)
	d.herald.apply(next.herald, c.pipes)
	d.macs.apply(ctx, d.network.Snapshot, next.devices)
	d.fitness.apply(next.fitness)
	d.floating.reload(ctx, next.vrrp)
	c.release()
	if next.whole.states {
		d.herald.tellStates(d.floating.status(ctx))
	}
	d.suspends.Store(&next.suspends)
	d.virtual.Store(&next.floating)
	d.fallBehind()
	d.look()
	d.macs.prune() // now that who leaves has said so by his device
	d.health.Limit(next.limits)
	d.health.Apply(next.checks())
	for _, line := range c.changes {
		d.log.Info("reload: " + line)
	}
	d.log.Info("configuration reloaded", "file", c.config.file, "changes", len(c.changes))
}

// reloadOnSignal reloads when it is asked to; what came of it is logged.
func (d *director) reloadOnSignal(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.opts.Reload:
		}
		if _, err := d.Reload(ctx, control.Reloading{}); err != nil {
			d.log.Error(err.Error())
		}
	}
}
