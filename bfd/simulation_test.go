package bfd_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"uvs/bfd"
	"uvs/internal/mono"
)

// simulations is how many random pairs TestSimulation lives through.
const simulations = 1000

// TestSimulation has two machines on a random line through cuts, loss, restarts and new intervals, in virtual time.
func TestSimulation(t *testing.T) {
	for seed := range uint64(simulations) {
		if w := newWorld(seed); !w.live() {
			t.Fatalf("seed %d: %s", seed, w.problem)
		}
	}
}

// An end is a machine and what a judge knows of it.
type end struct {
	name    string
	config  bfd.Config
	machine *bfd.Machine
	lives   uint32
	up      bool
	changed mono.Time
	arrived mono.Time // the last packet that came through
	sent    mono.Time // the last packet but answers
	quiet   mono.Time // nothing has disturbed the rhythm since
}

// A flight is a packet under way to an end.
type flight struct {
	to      int
	arrives mono.Time
	packet  bfd.Packet
	life    uint32 // of the sender
}

// A world is two ends and a line between them.
type world struct {
	rng     *rand.Rand
	now     mono.Time
	ends    [2]*end
	flights []flight
	cut     [2]bool // what goes to this end is lost
	loss    float64
	delay   time.Duration // at most
	problem string
}

func newWorld(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 5880)), now: mono.Time(1000 * s)}
	w.delay = time.Duration(w.rng.IntN(int(4 * ms)))
	for i := range w.ends {
		w.ends[i] = &end{name: string(rune('a' + i)), config: w.config()}
	}
	w.ends[1].config.Passive = w.rng.IntN(4) == 0
	return w
}

func (w *world) config() bfd.Config {
	fewest := 1
	if w.delay >= ms {
		fewest = 2 // a multiplier of 1 forgives a tenth of an interval
	}
	interval := func() time.Duration { return 10*ms + time.Duration(w.rng.IntN(200))*ms }
	return bfd.Config{Name: "x", MinTx: interval(), MinRx: interval(), Multiplier: uint8(fewest + w.rng.IntN(5)),
		IdleTx: s + time.Duration(w.rng.IntN(1000))*ms}
}

func (w *world) fail(format string, args ...any) {
	if w.problem == "" {
		w.problem = fmt.Sprintf("at %v: ", w.now.Sub(mono.Time(1000*s))) + fmt.Sprintf(format, args...)
	}
}

func (w *world) draw(d time.Duration) time.Duration { return time.Duration(w.rng.Int64N(int64(d) + 1)) }

// start begins a life of an end, with all knowledge lost.
func (w *world) start(i int) {
	e := w.ends[i]
	e.lives++
	e.machine = bfd.NewMachine(e.config, uint32(i+1)<<16|e.lives, w.draw)
	e.up, e.quiet, e.sent = false, w.now, 0
	w.step(i, bfd.Event{Kind: bfd.Started})
}

// live is one life of a world: it comes up, and again after each disturbance.
func (w *world) live() bool {
	for i := range w.ends {
		w.start(i)
	}
	w.mustComeUp("start")
	for range 4 {
		if w.problem == "" {
			w.disturb()
		}
	}
	return w.problem == ""
}

// disturb does one thing to a pair that is up, and heals it.
func (w *world) disturb() {
	switch w.rng.IntN(5) {
	case 0:
		w.cut = [2]bool{true, true}
		w.mustGoDown(0, "cut")
		w.mustGoDown(1, "cut")
		w.run(w.draw(10 * s))
	case 1:
		// One direction: the end that hears nothing says so, and the other goes down by that.
		deaf := w.rng.IntN(2)
		w.cut[deaf] = true
		w.mustGoDown(deaf, "one-way cut")
		w.mustGoDown(1-deaf, "the other's cut")
		w.run(w.draw(10 * s))
	case 2:
		w.loss = w.rng.Float64()
		w.run(w.draw(10 * s))
		w.loss = 0
		// Whoever has missed packets until now may yet miss one packet too many.
		w.run(max(w.ends[0].machine.Snapshot().Detection, w.ends[1].machine.Snapshot().Detection))
	case 3:
		w.start(w.rng.IntN(2))
	case 4:
		i := w.rng.IntN(2)
		c := w.config()
		c.Passive = w.ends[i].config.Passive
		w.ends[i].config = c
		w.disturbed()
		w.step(i, bfd.Event{Kind: bfd.Configured, Config: c})
		if w.mustStayUp(2*s, "reconfiguration"); w.problem != "" {
			return
		}
	}
	w.cut, w.loss = [2]bool{}, 0
	w.mustComeUp("heal")
	w.mustStayUp(5*s, "heal")
}

// mustGoDown wants an end down within its detection time from now.
func (w *world) mustGoDown(i int, why string) {
	e := w.ends[i]
	w.runUntil(w.now.Add(e.machine.Snapshot().Detection+w.delay+1), func() bool { return !e.up })
	if e.up {
		w.fail("%s is up after the %s: %+v", e.name, why, e.machine.Snapshot())
	}
}

// mustComeUp wants both ends up soon, with nothing of the old intervals left. A peer that speaks once in an idle time
// may speak to one that has not yet noticed, so it is asked three times, and a stale end has its detection time.
func (w *world) mustComeUp(why string) {
	limit := time.Duration(0)
	for i, e := range w.ends {
		slow := max(e.config.IdleTx, w.ends[1-i].config.MinRx)
		limit = max(limit, 3*slow, e.machine.Snapshot().Detection+3*slow)
	}
	agreed := func() bool {
		for i, e := range w.ends {
			o, got := w.ends[1-i].config, e.machine.Snapshot()
			if !e.up || got.Polling || got.Period != max(e.config.MinTx, o.MinRx) ||
				got.Detection != time.Duration(o.Multiplier)*max(e.config.MinRx, o.MinTx) {
				return false
			}
		}
		return true
	}
	w.runUntil(w.now.Add(limit), agreed)
	if !agreed() {
		w.fail("not up and agreed %v after the %s: %+v and %+v", limit, why, w.ends[0].machine.Snapshot(), w.ends[1].machine.Snapshot())
	}
}

// mustStayUp wants no change for a while.
func (w *world) mustStayUp(d time.Duration, why string) {
	w.run(d)
	for _, e := range w.ends {
		if !e.up || w.now.Sub(e.changed) < d {
			w.fail("%s did not stay up after the %s: %+v", e.name, why, e.machine.Snapshot())
		}
	}
}

func (w *world) run(d time.Duration) { w.runUntil(w.now.Add(d), func() bool { return false }) }

// disturbed says that intervals between packets mean nothing for now.
func (w *world) disturbed() {
	for _, e := range w.ends {
		e.quiet = w.now
	}
}

// runUntil lets time pass until done, the limit, or the first problem.
func (w *world) runUntil(limit mono.Time, done func() bool) {
	for w.problem == "" && !done() {
		next, flight, who := limit, -1, -1
		for i, f := range w.flights {
			if f.arrives < next {
				next, flight = f.arrives, i
			}
		}
		for i, e := range w.ends {
			if n := e.machine.Next(); n != 0 && n < next {
				next, flight, who = n, -1, i
			}
		}
		w.now = max(w.now, next)
		switch {
		case flight >= 0:
			w.land(flight)
		case who >= 0:
			w.step(who, bfd.Event{Kind: bfd.Elapsed})
		default:
			return
		}
	}
}

func (w *world) land(i int) {
	f := w.flights[i]
	w.flights = append(w.flights[:i], w.flights[i+1:]...)
	to := w.ends[f.to]
	mine := f.packet.YourDiscriminator
	if mine != 0 && mine != to.machine.Discriminator() {
		return // for an earlier life: nobody's
	}
	to.arrived = w.now
	w.step(f.to, bfd.Event{Kind: bfd.Received, Packet: f.packet})
}

// step runs a machine, judges what it does, and puts its packets on the line.
func (w *world) step(i int, e bfd.Event) {
	end := w.ends[i]
	detection := end.machine.Snapshot().Detection
	next := end.machine.Next()
	for _, effect := range end.machine.Step(w.now, e) {
		switch effect.Kind {
		case bfd.Changed:
			end.up, end.changed = effect.To == bfd.Up, w.now
			w.disturbed()
			if effect.Local == bfd.DetectionExpired && w.now.Sub(end.arrived) < detection {
				w.fail("%s expired %v after a packet, detection time %v", end.name, w.now.Sub(end.arrived), detection)
			}
		case bfd.Send:
			w.judgeRhythm(end, effect.Packet)
			w.put(i, effect.Packet)
		}
	}
	if n := end.machine.Next(); n != 0 && (n < w.now || e.Kind == bfd.Elapsed && n == next) {
		w.fail("%s is due again at %v without having done anything", end.name, n)
	}
}

// judgeRhythm wants periodic packets of a settled pair three quarters to one interval apart.
func (w *world) judgeRhythm(e *end, p bfd.Packet) {
	if p.Final {
		return
	}
	got, period := w.now.Sub(e.sent), e.machine.Snapshot().Period
	settled := e.up && e.sent > e.quiet && !e.machine.Snapshot().Polling && w.now.Sub(e.quiet) > 3*s
	most := period
	if e.config.Multiplier == 1 {
		most = period - period/10
	}
	if settled && (got < period-period/4 || got > most) {
		w.fail("%s sent %v after the packet before, the interval is %v", e.name, got, period)
	}
	e.sent = w.now
}

func (w *world) put(from int, p bfd.Packet) {
	wire := p.Append(nil)
	p, drop := bfd.Parse(wire)
	if drop != bfd.Accepted {
		w.fail("%s sent %x: %v", w.ends[from].name, wire, drop)
	}
	if w.cut[1-from] || w.rng.Float64() < w.loss {
		return
	}
	w.flights = append(w.flights, flight{to: 1 - from, arrives: w.now.Add(w.draw(w.delay)), packet: p, life: w.ends[from].lives})
}
