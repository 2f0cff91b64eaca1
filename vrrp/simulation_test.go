package vrrp_test

import (
	"container/heap"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"uvs/internal/mono"
	"uvs/vrrp"
)

var (
	seeds = flag.Int("seeds", 1000, "how many random networks to simulate")
	seed  = flag.Uint64("seed", 0, "simulate this one only, and print what happens")
)

// TestSimulation lets random sets of routers live through random disturbances of their
// network, and holds them to what the protocol promises:
//
//   - two masters that hear each other are one after an advert interval;
//   - a group is master as a whole or not at all;
//   - once nothing is disturbed any more there is one master, after Master_Down_Interval at
//     most, and it stays; with preemption it is the one with the highest priority;
//   - a router with nopreempt that comes back leaves the master alone.
func TestSimulation(t *testing.T) {
	if *seed != 0 {
		s := newSimulation(*seed)
		s.trace = true
		if err := s.run(); err != nil {
			t.Errorf("seed %d: %v", *seed, err)
		}
		t.Log(s.log.String())
		return
	}
	for n := range uint64(*seeds) {
		if err := newSimulation(n + 1).run(); err != nil {
			t.Errorf("%v; to see it: go test ./vrrp -run Simulation -v -args -seed %d", err, n+1)
			if t.Failed() {
				return
			}
		}
	}
}

// maxDelay is how long a packet may be on its way. Packets overtake each other.
const maxDelay = 20 * time.Millisecond

// A simulation is one network. Instance n of each host is on segment n.
type simulation struct {
	seed     uint64
	random   *rand.Rand
	now      mono.Time
	hosts    []*host
	segments int
	grouped  bool
	queue    events
	order    int // of events at the same time
	// hears tells for a segment, a sender and a receiver whether packets get through.
	hears [][][]bool
	loss  float64
	// inOrder keeps packets from overtaking each other.
	inOrder bool
	// both is since when two hosts have both been masters of a segment and could hear each
	// other, 0 if they are not.
	both map[[3]int]mono.Time

	trace bool
	log   strings.Builder
}

// A host is one router.
type host struct {
	number  int
	spec    vrrp.Spec
	machine *vrrp.Machine // nil while it is off
	frozen  bool
	queued  []vrrp.Received // while frozen
	owns    map[string]bool
	changes int
}

// An event is something that happens at a time.
type event struct {
	at    mono.Time
	order int
	do    func() error
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(a, b int) bool {
	return e[a].at.Before(e[b].at) || e[a].at == e[b].at && e[a].order < e[b].order
}
func (e events) Swap(a, b int) { e[a], e[b] = e[b], e[a] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func newSimulation(seed uint64) *simulation {
	s := &simulation{seed: seed, random: rand.New(rand.NewPCG(seed, 1)), now: mono.Time(time.Hour), both: make(map[[3]int]mono.Time)}
	s.segments = 1 + s.random.IntN(2)
	s.grouped = s.segments > 1 && s.random.IntN(2) == 0
	version := uint8(2 + s.random.IntN(2))
	interval := time.Duration(1+s.random.IntN(2)) * time.Second
	if version == 3 {
		interval = time.Duration(1+s.random.IntN(20)) * 50 * time.Millisecond
	}
	noPreempt := s.random.IntN(3) == 0
	for n := range 2 + s.random.IntN(4) {
		h := &host{number: n, owns: make(map[string]bool)}
		priority := uint8(50 + 10*s.random.IntN(15)) // equal ones are likely
		for segment := range s.segments {
			h.spec.Instances = append(h.spec.Instances, vrrp.Instance{
				Name: fmt.Sprintf("S%d", segment), Version: version, VRID: uint8(segment + 1), Priority: priority,
				AdvertInterval: interval, DownTimerAdverts: 3, NoPreempt: noPreempt,
				Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 9, byte(segment), 100})},
				Announce:  vrrp.Announce{Repeat: 5, Delay: 5 * time.Second, LowerPrioRepeat: 5},
				Track:     []vrrp.Tracked{{Object: vrrp.Object{Kind: vrrp.KindInterface, Name: fmt.Sprintf("eth%d", segment)}}},
			})
		}
		if s.grouped {
			h.spec.Groups = []vrrp.Group{{Name: "G", Members: []string{"S0", "S1"}}}
		}
		s.hosts = append(s.hosts, h)
	}
	s.hears = make([][][]bool, s.segments)
	for segment := range s.hears {
		s.hears[segment] = make([][]bool, len(s.hosts))
		for from := range s.hears[segment] {
			s.hears[segment][from] = make([]bool, len(s.hosts))
		}
	}
	s.connectAll()
	return s
}

func (s *simulation) connectAll() {
	s.loss = 0
	for _, segment := range s.hears {
		for _, from := range segment {
			for to := range from {
				from[to] = true
			}
		}
	}
}

func (s *simulation) say(format string, args ...any) {
	if s.trace {
		fmt.Fprintf(&s.log, "%9.3f  %s\n", s.now.Sub(mono.Time(time.Hour)).Seconds(), fmt.Sprintf(format, args...))
	}
}

func (s *simulation) at(t mono.Time, do func() error) {
	s.order++
	heap.Push(&s.queue, event{t, s.order, do})
}

func source(segment, host int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 9, byte(segment), byte(host + 1)})
}

// start switches a host on.
func (s *simulation) start(h *host) {
	s.say("host %d starts", h.number)
	h.machine, h.frozen, h.queued = vrrp.New(h.spec), false, nil
	clear(h.owns)
	for segment := range s.segments {
		s.step(h, vrrp.SourceChanged{Instance: fmt.Sprintf("S%d", segment), Addr: source(segment, h.number)})
		s.step(h, vrrp.ObjectChanged{Object: vrrp.Object{Kind: vrrp.KindInterface, Name: fmt.Sprintf("eth%d", segment)}, Up: true})
	}
	s.step(h, vrrp.Start{})
}

// step lets a host take an event in and does what it says.
func (s *simulation) step(h *host, ev vrrp.Event) {
	for _, e := range h.machine.Step(s.now, ev) {
		switch e := e.(type) {
		case vrrp.Send:
			s.send(h, e)
		case vrrp.Own:
			h.owns[e.Instance] = true
		case vrrp.Disown:
			h.owns[e.Instance] = false
		case vrrp.Changed:
			h.changes++
			s.say("host %d %s: %s -> %s: %s", h.number, e.Instance, e.From, e.To, e.Reason)
		}
	}
	_, packet := ev.(vrrp.Received)
	s.expect(h, packet)
}

// expect plans the host's next deadline. After a packet it may have come already.
func (s *simulation) expect(h *host, packet bool) {
	m := h.machine
	next, ok := m.Deadline()
	if !ok {
		return
	}
	if !next.After(s.now) && !packet {
		s.at(s.now, func() error { return fmt.Errorf("host %d waits for what is over", h.number) })
		return
	}
	s.at(max(next, s.now), func() error {
		if now, ok := m.Deadline(); h.machine == m && !h.frozen && ok && now == next {
			s.step(h, vrrp.Tick{})
		}
		return nil
	})
}

func (s *simulation) send(h *host, e vrrp.Send) {
	segment := int(e.Instance[1] - '0')
	from, to := source(segment, h.number), netip.AddrFrom4([4]byte{224, 0, 0, 18})
	for _, peer := range s.hosts {
		if peer == h || !s.hears[segment][h.number][peer.number] || s.random.Float64() < s.loss {
			continue
		}
		b := e.Message.AppendIPv4(nil, from, to, 255, 1)
		packet := vrrp.Received{Instance: e.Instance, Packet: &vrrp.Packet{Source: from, Destination: to, TTL: 255, Header: b[:20], Payload: b[20:]}}
		delay := maxDelay
		if !s.inOrder {
			delay = time.Duration(s.random.Int64N(int64(maxDelay)))
		}
		s.at(s.now.Add(delay), func() error {
			switch {
			case peer.machine == nil:
			case peer.frozen:
				peer.queued = append(peer.queued, packet)
			default:
				s.step(peer, packet)
			}
			return nil
		})
	}
}

// run lives through disturbances, then rest, three times.
func (s *simulation) run() error {
	for _, h := range s.hosts {
		s.at(s.now.Add(time.Duration(s.random.Int64N(int64(5*time.Second)))), func() error { s.start(h); return nil })
	}
	if err := s.pass(5 * time.Second); err != nil {
		return err
	}
	for range 3 {
		for range s.random.IntN(6) {
			if err := s.pass(time.Duration(s.random.Int64N(int64(8 * time.Second)))); err != nil {
				return err
			}
			s.disturb()
		}
		if err := s.rest(); err != nil {
			return err
		}
	}
	return nil
}

// pass lets time pass.
func (s *simulation) pass(d time.Duration) error {
	end := s.now.Add(d)
	for len(s.queue) > 0 && !s.queue[0].at.After(end) {
		e := heap.Pop(&s.queue).(event)
		s.now = max(s.now, e.at)
		if err := e.do(); err != nil {
			return err
		}
		if err := s.check(); err != nil {
			return fmt.Errorf("%w, %.3f s after the begin", err, s.now.Sub(mono.Time(time.Hour)).Seconds())
		}
	}
	s.now = end
	return nil
}

// disturb does something to the network or a host.
func (s *simulation) disturb() {
	h := s.hosts[s.random.IntN(len(s.hosts))]
	segment := s.random.IntN(s.segments)
	switch s.random.IntN(9) {
	case 0:
		s.loss = s.random.Float64() / 2
		s.say("loss %.2f", s.loss)
	case 1:
		s.say("segment %d: host %d is cut off", segment, h.number)
		for other := range s.hosts {
			s.hears[segment][h.number][other], s.hears[segment][other][h.number] = false, false
		}
	case 2:
		s.say("segment %d: host %d is not heard", segment, h.number)
		for other := range s.hosts {
			s.hears[segment][h.number][other] = false
		}
	case 3:
		s.say("segment %d: host %d hears nothing", segment, h.number)
		for other := range s.hosts {
			s.hears[segment][other][h.number] = false
		}
	case 4:
		s.say("all cables are whole")
		s.connectAll()
	case 5:
		s.say("host %d crashes", h.number)
		h.machine = nil
		clear(h.owns)
	case 6:
		if h.machine != nil && !h.frozen {
			s.say("host %d stops", h.number)
			s.step(h, vrrp.Stop{})
			h.machine = nil
			clear(h.owns)
		}
	case 7:
		if h.machine != nil {
			s.say("host %d is frozen", h.number)
			h.frozen = true
		}
	case 8:
		s.wake(h)
	}
}

// wake starts a host that is off, and thaws one that is frozen: what it missed is there.
func (s *simulation) wake(h *host) {
	switch {
	case h.machine == nil:
		s.start(h)
	case h.frozen:
		s.say("host %d is thawed", h.number)
		h.frozen = false
		for _, p := range h.queued {
			s.step(h, p)
		}
		h.queued = nil
		s.step(h, vrrp.Tick{})
	}
}

// rest ends all disturbances and wants one master, who stays.
func (s *simulation) rest() error {
	s.connectAll()
	for _, h := range s.hosts {
		s.wake(h)
	}
	s.say("rest")
	i := &s.hosts[0].spec.Instances[0]
	interval := i.AdvertInterval
	skew := time.Second
	if i.Version == 3 {
		skew = interval
	}
	// A master is there after the longest Master_Down_Interval. A better one may still come,
	// whose timer ran meanwhile.
	down := 3*interval + skew + maxDelay
	if err := s.pass(down); err != nil {
		return err
	}
	for segment := range s.segments {
		if len(s.masters(segment)) == 0 {
			return fmt.Errorf("segment %d: no master %v after the rest began", segment, down)
		}
	}
	if err := s.pass(down + interval); err != nil {
		return err
	}
	before := make([]*host, s.segments)
	for segment := range s.segments {
		masters := s.masters(segment)
		if len(masters) != 1 {
			return fmt.Errorf("segment %d: %d masters although nothing is disturbed", segment, len(masters))
		}
		before[segment] = masters[0]
		if best := s.highest(); !i.NoPreempt && masters[0].spec.Instances[0].Priority != best {
			return fmt.Errorf("segment %d: host %d with priority %d is master, the highest is %d",
				segment, masters[0].number, masters[0].spec.Instances[0].Priority, best)
		}
	}
	if err := s.comeBack(before, down); err != nil {
		return err
	}
	return s.replaceMaster(before[0], down)
}

// replaceMaster stops a master and starts it again. Whoever is next takes over within the
// skew of its priority, and with nopreempt it stays.
func (s *simulation) replaceMaster(master *host, down time.Duration) error {
	if len(s.masters(s.segments-1)) != 1 || s.masters(s.segments - 1)[0] != master {
		return nil // of one segment only: its group, if any, is another one's affair
	}
	// An advert that arrives behind the good-bye would let others wait for all their time.
	s.inOrder = true
	defer func() { s.inOrder = false }()
	if err := s.pass(maxDelay); err != nil {
		return err
	}
	s.say("host %d stops", master.number)
	s.step(master, vrrp.Stop{})
	master.machine = nil
	clear(master.owns)
	i := &master.spec.Instances[0]
	unit := time.Second
	if i.Version == 3 {
		unit = i.AdvertInterval
	}
	var next uint8
	for _, h := range s.hosts {
		if h != master {
			next = max(next, h.spec.Instances[0].Priority)
		}
	}
	if err := s.pass(time.Duration(256-int(next))*unit/256 + 2*maxDelay); err != nil {
		return err
	}
	masters := s.masters(0)
	if len(masters) == 0 || masters[0].spec.Instances[0].Priority != next {
		return fmt.Errorf("nobody of priority %d took over from a master that left", next)
	}
	if err := s.pass(down); err != nil {
		return err
	}
	successor := s.masters(0)
	s.start(master)
	if err := s.pass(2 * down); err != nil {
		return err
	}
	if masters := s.masters(0); i.NoPreempt && (len(successor) != 1 || len(masters) != 1 || masters[0] != successor[0]) {
		return fmt.Errorf("host %d came back and preempted, or it was not clear whom", master.number)
	}
	return nil
}

// comeBack restarts a backup and wants the masters to stay, if it may not or cannot preempt.
func (s *simulation) comeBack(before []*host, down time.Duration) error {
	h := s.hosts[s.random.IntN(len(s.hosts))]
	for _, master := range before {
		if h == master || !h.spec.Instances[0].NoPreempt && h.spec.Instances[0].Priority > master.spec.Instances[0].Priority {
			h = nil
			break
		}
	}
	if h != nil {
		s.say("host %d crashes and comes back", h.number)
		s.start(h)
	}
	changes := 0
	for _, master := range before {
		changes += master.changes
	}
	if err := s.pass(2 * down); err != nil {
		return err
	}
	after := 0
	for segment, master := range before {
		if masters := s.masters(segment); len(masters) != 1 || masters[0] != master {
			return fmt.Errorf("segment %d: host %d does not stay master", segment, master.number)
		}
		after += master.changes
	}
	if after != changes {
		return fmt.Errorf("the masters changed %d times although nothing was disturbed", after-changes)
	}
	return nil
}

func (s *simulation) highest() (best uint8) {
	for _, h := range s.hosts {
		best = max(best, h.spec.Instances[0].Priority)
	}
	return best
}

// masters lists who is master of a segment and at work.
func (s *simulation) masters(segment int) (list []*host) {
	for _, h := range s.hosts {
		if h.machine != nil && !h.frozen && h.owns[fmt.Sprintf("S%d", segment)] {
			list = append(list, h)
		}
	}
	return list
}

// check holds what must be true at each moment.
func (s *simulation) check() error {
	for _, h := range s.hosts {
		if h.machine == nil {
			continue
		}
		states := h.machine.Status()
		for n, st := range states {
			if owns := h.owns[st.Instance]; owns != (st.State == vrrp.Master) {
				return fmt.Errorf("host %d %s is %s and owns: %v", h.number, st.Instance, st.State, owns)
			}
			if s.grouped && n > 0 && (st.State == vrrp.Master) != (states[0].State == vrrp.Master) {
				return fmt.Errorf("host %d: its group is torn, %s and %s", h.number, states[0].State, st.State)
			}
		}
	}
	for segment := range s.segments {
		if err := s.checkPairs(segment); err != nil {
			return err
		}
	}
	return nil
}

// checkPairs bounds how long two masters that hear each other are both.
func (s *simulation) checkPairs(segment int) error {
	masters := s.masters(segment)
	now := make(map[[3]int]bool)
	for n, a := range masters {
		for _, b := range masters[n+1:] {
			if s.loss == 0 && s.hears[segment][a.number][b.number] && s.hears[segment][b.number][a.number] {
				now[[3]int{segment, a.number, b.number}] = true
			}
		}
	}
	for key := range s.both {
		if key[0] == segment && !now[key] {
			delete(s.both, key)
		}
	}
	limit := s.hosts[0].spec.Instances[0].AdvertInterval + 2*maxDelay
	for key := range now {
		since, known := s.both[key]
		if !known {
			s.both[key] = s.now
			continue
		}
		if d := s.now.Sub(since); d > limit {
			return fmt.Errorf("segment %d: hosts %d and %d hear each other and are both master for %v", segment, key[1], key[2], d)
		}
	}
	return nil
}
