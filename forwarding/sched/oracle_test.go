package sched_test

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"uvs/forwarding/sched"
	"uvs/internal/mono"
)

// A trial runs a scheduler beside its model over a service whose servers change all the time.
type trial struct {
	*site
	model model
	rng   *rand.Rand
	all   []*server // listed and not
	now   mono.Time
	heavy bool // weights may be great
	seed  uint64
	steps int

	addresses int           // that packets go to
	pause     time.Duration // the longest without packets
}

func newTrial(t *testing.T, name string, flags sched.Flags, seed uint64) *trial {
	x := &trial{site: flagged(t, name, flags), model: newModel(name, flags), rng: rand.New(rand.NewPCG(seed, 0)), now: 1, heavy: seed%3 == 0, seed: seed, addresses: 20, pause: 40 * time.Hour}
	servers := 1 + x.rng.IntN(40)
	if seed%25 == 24 {
		servers = 1000
	}
	for i := range servers {
		s := &server{name: string(rune('A' + i)), end: endOf("192.0.2.1", uint16(i))}
		x.load(s)
		x.weigh(s)
		x.all = append(x.all, s)
	}
	x.enlist()
	return x
}

func (x *trial) weigh(s *server) {
	s.weight = x.rng.IntN(6)
	if x.heavy && x.rng.IntN(3) == 0 {
		s.weight = x.rng.IntN(65536)
	}
}

func (x *trial) load(s *server) {
	s.active, s.inactive = x.rng.IntN(8), x.rng.IntN(1000)
	if x.rng.IntN(3) == 0 {
		s.active, s.inactive = 0, 0
	}
}

// enlist gives both another list of the servers.
func (x *trial) enlist() {
	list := slices.Clone(x.all)
	if x.rng.IntN(4) > 0 {
		list = slices.DeleteFunc(list, func(*server) bool { return x.rng.IntN(5) == 0 })
	}
	x.update(list...)
	x.model.update(list)
}

// tell tells the scheduler of a change, if it wants to know.
func (x *trial) tell(s *server, what sched.Watch) {
	if i := slices.Index(x.list, s); i >= 0 && x.Watches() >= what {
		x.Changed(i)
	}
}

// step changes something, or not, and compares a choice.
func (x *trial) step() {
	x.steps++
	s := x.all[x.rng.IntN(len(x.all))]
	switch x.rng.IntN(40) {
	case 0:
		x.weigh(s)
		x.enlist()
	case 1:
		s.overloaded = !s.overloaded
		x.tell(s, sched.WatchOverload)
	case 2, 3, 4:
		x.load(s)
		x.tell(s, sched.WatchCounts)
	case 5:
		x.now = x.now.Add(time.Duration(x.rng.Int64N(int64(x.pause))))
	case 6:
		x.now = x.now.Add(time.Minute)
		if c, ok := x.Scheduler.(sched.Collector); ok {
			c.Collect(x.now)
			x.model.(*memory).collect(x.now)
		}
	}
	r := sched.Request{Client: sched.End{Addr: x.rng.Uint32(), Port: uint16(x.rng.Uint32())}, Now: x.now}
	binary.BigEndian.PutUint32(r.Virtual[:], uint32(x.rng.IntN(x.addresses)))
	got, want := x.Scheduler.Pick(r), x.model.pick(r)
	if got != want {
		x.t.Fatalf("seed %d, step %d: picks %d, the model %d of %d", x.seed, x.steps, got, want, len(x.list))
	}
	if got >= 0 && x.rng.IntN(2) == 0 {
		x.list[got].active++
		x.tell(x.list[got], sched.WatchCounts)
	}
}

// TestAgainstTheKernel compares each scheduler with its model under random changes.
func TestAgainstTheKernel(t *testing.T) {
	for _, name := range sched.Names() {
		if name == "mh" {
			continue // its tables have vectors: TestKernelVectors
		}
		for _, flags := range []sched.Flags{0, sched.Fallback | sched.Port} {
			if flags != 0 && name != "sh" {
				continue
			}
			t.Run(name, func(t *testing.T) {
				for seed := range uint64(100) {
					x := newTrial(t, name, flags, seed)
					for range 400 {
						x.step()
					}
				}
			})
		}
	}
}

// TestLargeSets compares lblcr with its model when addresses have sets of hundreds of servers, which
// are not looked at one by one.
func TestLargeSets(t *testing.T) {
	for _, seed := range []uint64{49, 74, 124} { // of 1000 servers, none of great weight
		x := newTrial(t, "lblcr", 0, seed)
		x.addresses, x.pause = 2, 2*time.Hour
		largest := 0
		for i := range 2000 {
			x.step()
			if i%500 == 499 { // more changes at once than a set has servers, or few
				for _, s := range x.all[:x.rng.IntN(len(x.all))] {
					x.load(s)
					x.tell(s, sched.WatchCounts)
				}
			}
			for _, e := range x.model.(*memory).entries {
				largest = max(largest, len(e.set))
			}
		}
		if largest < 50 {
			t.Errorf("seed %d: no set had more than %d servers", seed, largest)
		}
	}
}
