package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"uvs/bench/load"
	"uvs/internal/wire"
)

// A flood is a generator at the client and a sink at the server.
type flood struct {
	turn      *turn
	generator *load.Generator
	sink      *sink
	device    string // of the server, where frames arrive
	stream    load.Stream
}

// A shape is what a flood's frames are like.
type shape struct {
	flows int
	size  int // on an Ethernet, with its checksum
	syn   bool
}

func newFlood(ctx context.Context, t *turn, d demand, sh shape) (_ *flood, err error) {
	// The sink's softirq follows the sender, who is on the director's core.
	if err := t.site.place(t.site.cores.director); err != nil {
		return nil, err
	}
	way := t.session.path()
	f := &flood{turn: t, device: "eth0"}
	if way.device != "eth0" {
		f.device = way.device
	}
	mac, err := t.site.client.MAC(way.device)
	if err != nil {
		return nil, err
	}
	index, err := interfaceIndex(t.site.client, way.device)
	if err != nil {
		return nil, err
	}
	f.stream = load.Stream{
		Source: wire.MAC(mac), Next: way.next, Target: netip.AddrPortFrom(way.target.Addr(), d.port), Ports: max(1, d.services),
		SYN: sh.syn, Flows: sh.flows, Size: sh.size,
	}
	if err := t.site.client.Do(func() error {
		f.generator, err = load.NewGenerator(index, f.stream, t.site.cores.ends)
		return err
	}); err != nil {
		return nil, err
	}
	if f.sink, err = newSink(ctx, t.site, d, way.arrival); err != nil {
		return nil, errors.Join(err, f.generator.Close())
	}
	return f, nil
}

func (f *flood) stop() error { return errors.Join(f.generator.Close(), f.sink.stop()) }

// command describes the load for the record.
func (f *flood) command(rate string) string {
	what := "UDP"
	if f.stream.SYN {
		what = "TCP SYN"
	}
	return fmt.Sprintf("%s generator on CPU %d: %s, %d bytes, %d flows, %d ports, %s", f.generator.Method(), f.turn.site.cores.ends,
		what, f.stream.Size, f.stream.Flows, f.stream.Ports, rate)
}

// introduce sends one frame of each flow at a rate that everyone can take, so that tables are
// filled when it counts.
func (f *flood) introduce(ctx context.Context, rate float64) error {
	switch {
	case f.turn.contender.kind == nobody || f.turn.contender.kind == routing: // keep no flows
		return nil
	case f.stream.Flows <= *f.turn.introduced: // an earlier case had the same ones
		return nil
	}
	*f.turn.introduced = f.stream.Flows
	_, err := f.generator.Run(ctx, load.Plan{Frames: f.stream.Flows, Rate: rate})
	return err
}

// A delivery is what arrived of what was sent.
type delivery struct {
	rate    float64 // frames per second that arrived
	offered float64 // frames per second that were sent
	cpu     cpuTimes
	length  time.Duration // that it was measured for
}

// forwarded is the part of what is offered that has to arrive for nothing to be lost: what is
// between director and sink when they are counted is not.
const forwarded = 0.98

// limited names the generator if all that it sent arrived.
func (d delivery) limited() string {
	if d.rate >= forwarded*d.offered {
		return "generator"
	}
	return ""
}

// perPacket returns CPU time per packet in nanoseconds.
func perPacket(used time.Duration, rate float64, length time.Duration) float64 {
	if rate <= 0 {
		return 0
	}
	return float64(used) / (rate * length.Seconds())
}

// settling is how long a flood runs before its rate is taken.
const settling = 100 * time.Millisecond

// saturate sends as much as goes, and measures what arrives once that is steady.
func (f *flood) saturate(ctx context.Context, length time.Duration) (d delivery, err error) {
	done := make(chan error, 1)
	var sent load.Sent
	go func() {
		var err error
		sent, err = f.generator.Run(ctx, load.Plan{For: length + 2*settling})
		done <- err
	}()
	d.rate, d.cpu, err = f.observe(ctx, length)
	err = errors.Join(err, <-done)
	d.offered, d.length = sent.Rate(), length
	return d, err
}

// observe measures the rate of arriving frames for a while.
func (f *flood) observe(ctx context.Context, length time.Duration) (rate float64, used cpuTimes, err error) {
	if err := wait(ctx, settling); err != nil {
		return 0, used, err
	}
	cpu, err := readCPU()
	if err != nil {
		return 0, used, err
	}
	start := time.Now()
	first, err := received(f.turn.site.server, f.device)
	if err != nil {
		return 0, used, err
	}
	if err := wait(ctx, length); err != nil {
		return 0, used, err
	}
	last, err := received(f.turn.site.server, f.device)
	if err != nil {
		return 0, used, err
	}
	took := time.Since(start)
	after, err := readCPU()
	return float64(last-first) / took.Seconds(), after.since(cpu), err
}

// A trial is a number of frames sent at a rate, and what became of all of them.
type trial struct {
	sent    load.Sent
	arrived uint64
}

func (t trial) loss() float64 {
	if t.sent.Frames == 0 || t.arrived >= t.sent.Frames {
		return 0
	}
	return float64(t.sent.Frames-t.arrived) / float64(t.sent.Frames)
}

func (f *flood) try(ctx context.Context, p load.Plan) (t trial, err error) {
	before, _, err := f.sink.settled(ctx)
	if err != nil {
		return t, err
	}
	if t.sent, err = f.generator.Run(ctx, p); err != nil {
		return t, err
	}
	after, astray, err := f.sink.settled(ctx)
	if err == nil && astray > 0 {
		err = fmt.Errorf("%d packets arrived that were not addressed to %s", astray, f.turn.session.path().arrival)
	}
	t.arrived = after - before
	return t, err
}

// verify makes sure that frames arrive as they should before anything is measured.
func (f *flood) verify(ctx context.Context) error {
	t, err := f.try(ctx, load.Plan{Frames: 200, Rate: 2000})
	if err == nil && t.arrived < 150 {
		err = fmt.Errorf("%d of 200 slow packets arrived", t.arrived)
	}
	return err
}
