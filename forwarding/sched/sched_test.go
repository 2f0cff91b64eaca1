package sched_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"uvs/forwarding/sched"
)

// server is a real server named by a letter.
type server struct {
	name             string
	weight           int
	active, inactive int
	overloaded       bool
	last             int // the last weight that was not 0, if weight is
	end              sched.End
}

func (s *server) Weight() int      { return s.weight }
func (s *server) Active() int      { return s.active }
func (s *server) Inactive() int    { return s.inactive }
func (s *server) Overloaded() bool { return s.overloaded }
func (s *server) LastWeight() int  { return max(s.last, s.weight) }
func (s *server) End() sched.End   { return s.end }

// env is an Env whose random numbers are the same in each run.
func env() sched.Env {
	day := func() time.Duration { return 24 * time.Hour }
	return sched.Env{Random: rand.New(rand.NewPCG(1, 2)).Uint64N, LBLCExpiration: day, LBLCRExpiration: day}
}

// site is a scheduler with the list it was given last.
type site struct {
	t *testing.T
	sched.Scheduler
	list []*server
}

func newSite(t *testing.T, name string, list ...*server) *site {
	t.Helper()
	s, ok := sched.New(name, sched.Fallback, env())
	if !ok {
		t.Fatalf("no scheduler %q", name)
	}
	out := &site{t: t, Scheduler: s}
	out.update(list...)
	return out
}

func (s *site) update(list ...*server) {
	s.list = list
	servers := make([]sched.Server, len(list))
	for i, l := range list {
		servers[i] = l
	}
	s.Update(servers)
}

// Pick tells the scheduler all that may have changed, and picks.
func (s *site) Pick(r sched.Request) int {
	for i := range s.list {
		s.Changed(i)
	}
	return s.Scheduler.Pick(r)
}

// picks returns the names of the next n choices, "-" for none.
func (s *site) picks(n int) string {
	var b strings.Builder
	for range n {
		if i := s.Pick(sched.Request{}); i < 0 {
			b.WriteString("-")
		} else {
			b.WriteString(s.list[i].name)
		}
	}
	return b.String()
}

// expect compares the next choices with want.
func (s *site) expect(when, want string) {
	s.t.Helper()
	if got := s.picks(len(want)); got != want {
		s.t.Errorf("%s %s: got %s, want %s", s.Name(), when, got, want)
	}
}

func weighted(weights ...int) []*server {
	list := make([]*server, len(weights))
	for i, w := range weights {
		list[i] = &server{name: string(rune('A' + i)), weight: w}
	}
	return list
}

func TestNames(t *testing.T) {
	if got := fmt.Sprint(sched.Names()); got != "[dh fo lblc lblcr lc mh nq ovf rr sed sh twos wlc wrr]" {
		t.Errorf("names %s", got)
	}
	for _, name := range sched.Names() {
		s, ok := sched.New(name, 0, env())
		if !ok || s.Name() != name {
			t.Errorf("New(%q) is %v, %v", name, s, ok)
			continue
		}
		if got := s.Pick(sched.Request{}); got != -1 {
			t.Errorf("%s without servers picks %d", name, got)
		}
	}
	if _, ok := sched.New("wrx", 0, env()); ok {
		t.Error(`New("wrx") is a scheduler`)
	}
}

func TestNoServerAvailable(t *testing.T) {
	for _, name := range sched.Names() {
		if name == "dh" || name == "lblc" {
			continue // an address has its server whatever becomes of it: see their own tests
		}
		t.Run(name, func(t *testing.T) {
			l := weighted(0, 3, 2)
			s := newSite(t, name, l...)
			if strings.Contains(s.picks(50), "A") {
				t.Error("a server of weight 0 was picked")
			}
			l[1].overloaded, l[2].overloaded = true, true
			s.expect("all overloaded", "----")
			l[2].overloaded = false
			s.expect("one back", "CCCC")
			l[2].weight = 0
			s.update(l...)
			s.expect("all out", "--")
			s.update()
			s.expect("list empty", "--")
			s.update(l[1])
			l[1].overloaded = false
			s.expect("a new list", "BB")
		})
	}
}

func TestRoundRobin(t *testing.T) {
	l := weighted(1, 5, 1, 1)
	a, b, c, d := l[0], l[1], l[2], l[3]
	s := newSite(t, "rr", a, b, c)
	s.expect("from the head", "ABCABCA")

	s.update(d, a, b, c)
	s.expect("a server came in front", "BCDA")
	s.update(d, a, c)
	s.expect("a server behind the last chosen went", "CD")
	s.update(a, b, c)
	s.expect("the last chosen, first of the list, went", "AB")
	s.update(a, c)
	s.expect("the last chosen went: on from its predecessor", "CAC")
	s.update(b, a)
	s.expect("the last chosen went and the list grew", "BA")

	s = newSite(t, "rr", a, b, c, d)
	s.expect("fresh", "ABC")
	s.update(a, d)
	s.expect("the last chosen and its predecessor went", "DA")
	s.update(b, c)
	s.expect("all were replaced", "BC")

	s = newSite(t, "rr", a, b, c)
	s.expect("fresh", "AB")
	c.overloaded = true
	s.expect("one overloaded", "ABA")
	b.weight = 0
	s.update(a, b, c)
	s.expect("one quiesced as well", "AA")
	c.overloaded, b.weight = false, 1
	s.update(a, b, c)
	s.expect("both back", "BCA")
}

func TestWeightedRoundRobin(t *testing.T) {
	for _, tt := range []struct {
		weights []int
		want    string // one cycle
	}{
		{[]int{4, 3, 2}, "AABABCABC"},
		{[]int{6, 4, 2}, "AABABC"},
		{[]int{2, 3, 4}, "CBCABCABC"},
		{[]int{1, 1, 1}, "ABC"},
		{[]int{5}, "A"},
		{[]int{0, 100, 50}, "BBC"},
		{[]int{3, 0, 5}, "CCACACAC"},
	} {
		s := newSite(t, "wrr", weighted(tt.weights...)...)
		s.expect(fmt.Sprint(tt.weights), strings.Repeat(tt.want, 3))
	}
}

func TestWeightedRoundRobinWhenEdited(t *testing.T) {
	l := weighted(4, 3, 2)
	s := newSite(t, "wrr", l...)
	s.expect("fresh", "AAB") // threshold 3
	s.update(l...)
	s.expect("same weights: the pass begins anew", "ABABCABC"+"A")

	l = weighted(4, 3, 2)
	s = newSite(t, "wrr", l...)
	s.expect("fresh", "A") // threshold 4
	l[0].weight = 2
	s.update(l...)
	s.expect("threshold above the greatest weight: down to it", "BABCABC"+"B")

	l = weighted(6, 4, 2)
	s = newSite(t, "wrr", l...)
	s.expect("fresh", "AAB") // threshold 3 of 5, 3, 1
	l[2].weight = 1
	s.update(l...)
	s.expect("smaller step", "ABABABC"+"A"+"A"+"AB")

	l = weighted(7, 4)
	s = newSite(t, "wrr", l...)
	s.expect("fresh", "AAAA") // threshold 4
	l[0].weight = 8
	s.update(l...) // step 4: 4 becomes 5 of 5, 1
	s.expect("greater step", "AAB"+"AAB")

	l = weighted(0, 0)
	s = newSite(t, "wrr", l...)
	s.expect("no weight", "--")
	l[0].weight, l[1].weight = 2, 1
	s.update(l...)
	s.expect("weights at last", "AAB")

	l = weighted(2, 1)
	c := &server{name: "C", weight: 3}
	s = newSite(t, "wrr", l...)
	s.expect("fresh", "AA") // threshold 1
	s.update(c, l[0], l[1])
	s.expect("a server came", "CAB"+"CCACAB")
}

func TestWeightedRoundRobinWhenOverloaded(t *testing.T) {
	l := weighted(4, 3, 2)
	s := newSite(t, "wrr", l...)
	s.expect("fresh", "AABABC") // behind C, threshold 2
	l[0].overloaded = true
	s.expect("first overloaded", "BC"+"BBCBC")
	l[1].overloaded, l[2].overloaded = true, true
	s.expect("all overloaded", "---")
	l[0].overloaded = false
	s.expect("first back", "AAA")

	l = weighted(3, 2)
	s = newSite(t, "wrr", l...)
	s.expect("fresh", "A") // threshold 3
	l[0].overloaded, l[1].overloaded = true, true
	s.expect("all overloaded", "-")
	l[0].overloaded, l[1].overloaded = false, false
	s.expect("all back: a new cycle", "AABAB")

	l = weighted(1, 1, 1)
	s = newSite(t, "wrr", l...)
	s.expect("fresh", "A") // in the last pass
	for _, o := range l {
		o.overloaded = true
	}
	s.expect("all overloaded", "-")
	for _, o := range l {
		o.overloaded = false
	}
	s.expect("all back: on from the last chosen", "BCA")

	// In the last pass, behind B: A is found although only the servers behind B are left
	// with that threshold.
	l = weighted(2, 2, 1)
	s = newSite(t, "wrr", l...)
	s.expect("fresh", "ABAB")
	l[1].overloaded, l[2].overloaded = true, true
	s.expect("only the first left", "AA")
	// And C is, though it is the last of the last pass only.
	l[0].overloaded, l[2].overloaded = true, false
	s.expect("only the lightest left", "CC")
}

// TestWeightedRoundRobinAgainstItsCycle compares with the cycle written out: for each
// threshold the servers that reach it. Overloaded ones are passed over.
func TestWeightedRoundRobinAgainstItsCycle(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		unit := 1 + rng.IntN(3)
		weights := make([]int, 1+rng.IntN(6))
		for i := range weights {
			weights[i] = unit * rng.IntN(12)
		}
		l := weighted(weights...)
		l[rng.IntN(len(l))].weight = unit * (1 + rng.IntN(1000))
		cycle := cycleOf(l)
		s := newSite(t, "wrr", l...)
		at := 0
		for step := range 300 {
			if rng.IntN(5) == 0 {
				o := l[rng.IntN(len(l))]
				o.overloaded = !o.overloaded
			}
			free := func(i int) bool { return l[i].weight > 0 && !l[i].overloaded }
			anyFree := false
			for i := range l {
				anyFree = anyFree || free(i)
			}
			if !anyFree {
				// What place is kept then is another test's.
				l[cycle[0]].overloaded = false
			}
			for !free(cycle[at%len(cycle)]) {
				at++
			}
			if got, want := s.Pick(sched.Request{}), cycle[at%len(cycle)]; got != want {
				t.Fatalf("seed %d, step %d, weights %v: got %d, want %d", seed, step, weights, got, want)
			}
			at++
		}
	}
}

// cycleOf returns the indexes of one cycle.
func cycleOf(l []*server) (cycle []int) {
	greatest, step := 0, 0
	for _, s := range l {
		greatest = max(greatest, s.weight)
	}
	for d := 1; d <= greatest; d++ {
		divides := true
		for _, s := range l {
			divides = divides && s.weight%d == 0
		}
		if divides {
			step = d
		}
	}
	for threshold := greatest - step + 1; threshold > 0; threshold -= step {
		for i, s := range l {
			if s.weight >= threshold {
				cycle = append(cycle, i)
			}
		}
	}
	return cycle
}

func TestLeastConnections(t *testing.T) {
	type load struct{ weight, active, inactive int }
	for _, tt := range []struct {
		name    string
		loads   []load
		lc, wlc string
	}{
		{"idle: the first of the list", []load{{1, 0, 0}, {1, 0, 0}}, "A", "A"},
		{"tie: the first of the list", []load{{1, 5, 5}, {1, 3, 2}, {1, 3, 2}}, "B", "B"},
		{"an active one counts as 256 inactive ones", []load{{1, 1, 0}, {1, 0, 256}}, "A", "A"},
		{"an active one counts for more than 255 inactive ones", []load{{1, 1, 0}, {1, 0, 255}}, "B", "B"},
		{"weight counts in wlc only", []load{{1, 2, 0}, {3, 3, 0}}, "A", "B"},
		{"equal for their weights: the first", []load{{1, 1, 0}, {3, 3, 0}}, "A", "A"},
		{"just less for its weight", []load{{1, 1, 0}, {3, 2, 255}}, "A", "B"},
		{"idle ones tie whatever their weight", []load{{1, 0, 0}, {100, 0, 0}}, "A", "A"},
		{"weight 0 is passed over, first or later", []load{{0, 0, 0}, {1, 9, 0}, {0, 0, 0}, {1, 8, 0}}, "D", "D"},
		{"products beyond 32 bits", []load{{65535, 10_000_000, 0}, {65535, 9_999_999, 255}, {1, 9_999_999, 256}}, "B", "B"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l []*server
			for i, ld := range tt.loads {
				l = append(l, &server{name: string(rune('A' + i)), weight: ld.weight, active: ld.active, inactive: ld.inactive})
			}
			newSite(t, "lc", l...).expect("picks", tt.lc)
			newSite(t, "wlc", l...).expect("picks", tt.wlc)
		})
	}
}

// TestWeightedLeastConnectionFills lets each choice stay as an active connection.
func TestWeightedLeastConnectionFills(t *testing.T) {
	l := weighted(1, 2, 3)
	s := newSite(t, "wlc", l...)
	got := ""
	for range 12 {
		i := s.Pick(sched.Request{})
		l[i].active++
		got += l[i].name
	}
	// By hand: connections per weight before each choice, lowest first, ties to the front.
	if want := "ABCCBCABCCBC"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNoAllocs(t *testing.T) {
	for _, name := range sched.Names() {
		s := newSite(t, name, weighted(3, 0, 2, 5)...)
		if got := testing.AllocsPerRun(1000, func() { s.Pick(sched.Request{}) }); got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}

// BenchmarkPick is a choice of which the connection stays while an older one ends, so that two
// servers are not what they were.
func BenchmarkPick(b *testing.B) {
	for _, name := range sched.Names() {
		for _, n := range []int{1, 10, 100, 1000} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				s, _ := sched.New(name, 0, env())
				servers, list := make([]*server, n), make([]sched.Server, n)
				for i := range list {
					servers[i] = &server{weight: 100 + i%10, active: 50 + i%7}
					list[i] = servers[i]
				}
				s.Update(list)
				count := func(i, by int) {
					servers[i].active += by
					if s.Watches() == sched.WatchCounts {
						s.Changed(i)
					}
				}
				var held [512]int // servers of the latest connections
				for i := range held {
					held[i] = i % n
				}
				b.ReportAllocs()
				for at := 0; b.Loop(); at = (at + 1) % len(held) {
					count(held[at], -1)
					held[at] = s.Pick(sched.Request{Client: sched.End{Addr: uint32(at)}})
					count(held[at], 1)
				}
			})
		}
	}
}

// BenchmarkPickLight has a heavy server overloaded and a light one to be found.
func BenchmarkPickLight(b *testing.B) {
	s, _ := sched.New("wrr", 0, env())
	s.Update([]sched.Server{&server{weight: 65535, overloaded: true}, &server{weight: 1}})
	for b.Loop() {
		s.Pick(sched.Request{})
	}
}
