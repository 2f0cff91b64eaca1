package session

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"uvs/bfd"
	"uvs/internal/mono"
)

const (
	ms    = time.Millisecond
	begin = mono.Time(1000 * time.Second)
)

var (
	here4, there4 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	other4        = netip.MustParseAddr("192.0.2.3")
)

// A desk is a board whose packets and errors a test sees.
type desk struct {
	board
	out  []string // "NAME STATE", for each packet
	fail error
}

func newDesk() *desk {
	d := &desk{}
	number := uint32(0)
	d.board = board{
		byDiscriminator: make(map[uint32]*session),
		transmit: func(s *session, _ mono.Time, payload []byte) error {
			p, drop := bfd.Parse(payload)
			if d.fail != nil {
				return d.fail
			}
			d.out = append(d.out, fmt.Sprintf("%s %v %v", s.Name, p.State, drop))
			return nil
		},
		release:       func(s *session) { d.out = append(d.out, s.Name+" released") },
		configured:    func(s *session) error { d.out = append(d.out, s.Name+" TTL"); return nil },
		discriminator: func() uint32 { number++; return number / 3 }, // 0 and each number several times
		jitter:        func(time.Duration) time.Duration { return 0 },
	}
	return d
}

// sent returns what went out since the last call, told what was told.
func (d *desk) sent() string {
	defer func() { d.out = nil }()
	return strings.ReplaceAll(strings.Join(d.out, "; "), " accepted", "")
}

func (d *desk) told() (lines []string) {
	for _, e := range d.events {
		switch {
		case e.Initial:
			lines = append(lines, "new "+e.Name)
		case e.Kind == Turned:
			lines = append(lines, fmt.Sprintf("%s up=%v %s", e.Name, e.Up, e.Reason))
		case !strings.Contains(e.Message, "Detection time") && !strings.Contains(e.Message, "poll"):
			lines = append(lines, e.Message)
		}
	}
	d.events = nil
	return lines
}

func config(name string, peer netip.Addr) Config {
	return Config{
		Config: bfd.Config{Name: name, MinTx: 100 * ms, MinRx: 100 * ms, IdleTx: time.Second, Multiplier: 3},
		Peer:   peer, TTL: 255,
	}
}

// packet returns a datagram from there4 to here4.
func packet(state bfd.State, your uint32) datagram {
	p := bfd.Packet{State: state, Multiplier: 3, Discriminator: 77, YourDiscriminator: your, MinTx: 100 * ms, MinRx: 100 * ms}
	return datagram{from: there4, to: here4, ttl: 255, payload: p.Append(nil)}
}

func expect[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: %s, want %s", what, g, w)
	}
}

func TestWhoseAPacketIs(t *testing.T) {
	zone := config("zone", netip.MustParseAddr("fe80::1%eth0"))
	far := config("far", there4)
	far.MultiHop, far.MaxHops = true, 3
	exact := config("exact", there4)
	exact.Source = here4
	lax := config("lax", other4)
	lax.MaxHops = -1
	low := config("low", netip.MustParseAddr("192.0.2.4"))
	low.TTL, low.MaxHops = 64, 64

	for _, tc := range []struct {
		name   string
		list   []Config
		change func(*datagram)
		your   uint32
		want   string // session that got it, or the reason
	}{
		{"by address", []Config{config("a", there4)}, nil, 0, "a"},
		{"by discriminator", []Config{config("a", there4)}, nil, 1, "a"},
		{"unknown discriminator", []Config{config("a", there4)}, nil, 9, "no session for it"},
		{"unknown address", []Config{config("a", other4)}, nil, 0, "no session for it"},
		{"discriminator of another peer's session", []Config{config("a", other4)}, nil, 1, "not from the session's neighbor"},
		{"no sessions", nil, nil, 0, "no session for it"},
		{"exact source before any source", []Config{config("any", there4), exact}, nil, 0, "exact"},
		{"another source", []Config{exact}, func(d *datagram) { d.to = other4 }, 0, "no session for it"},
		{"any source", []Config{exact, config("any", there4)}, func(d *datagram) { d.to = other4 }, 0, "any"},
		{"other port", []Config{config("a", there4), far}, func(d *datagram) { d.multiHop = true }, 0, "far"},
		{"other port by discriminator", []Config{config("a", there4)}, func(d *datagram) { d.multiHop = true }, 1, "no session for it"},
		{"one hop too many", []Config{config("a", there4)}, func(d *datagram) { d.ttl = 254 }, 0, "TTL is too low"},
		{"as many hops as allowed", []Config{far}, func(d *datagram) { d.multiHop, d.ttl = true, 252 }, 0, "far"},
		{"more hops than allowed", []Config{far}, func(d *datagram) { d.multiHop, d.ttl = true, 251 }, 0, "TTL is too low"},
		{"TTL unknown", []Config{config("a", there4)}, func(d *datagram) { d.ttl = -1 }, 0, "TTL is not known"},
		{"TTL unchecked", []Config{lax}, func(d *datagram) { d.from, d.ttl = other4, -1 }, 0, "lax"},
		{"all hops allowed", []Config{low}, func(d *datagram) { d.from, d.ttl = low.Peer, 1 }, 0, "low"},
		{"link-local", []Config{zone}, func(d *datagram) { d.from = netip.MustParseAddr("fe80::1") }, 0, "zone"},
		{"malformed", []Config{config("a", there4)}, func(d *datagram) { d.payload = d.payload[:20] }, 0, "shorter than a BFD packet"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDesk()
			d.replace(tc.list, begin)
			state := bfd.Down
			p := packet(state, tc.your)
			if tc.change != nil {
				tc.change(&p)
			}
			d.receive(p, begin)
			got := "nobody"
			for _, s := range d.sessions {
				if s.received == 1 {
					got = s.Name
				}
			}
			used := d.counters.Drops[bfd.Accepted]
			for reason, n := range d.counters.Drops {
				if n == 1 && reason != int(bfd.Accepted) {
					got = bfd.Drop(reason).String()
					used++
				}
			}
			if got != tc.want || used != 1 {
				t.Errorf("%s (%d counted), want %s", got, used, tc.want)
			}
		})
	}
}

func TestLinkLocalPeersAreToldApartByInterface(t *testing.T) {
	d := newDesk()
	d.replace([]Config{config("one", netip.MustParseAddr("fe80::1%eth0")), config("two", netip.MustParseAddr("fe80::1%eth1"))}, begin)
	d.sessions[0].outlet, d.sessions[1].outlet = &outlet{zone: 1}, &outlet{zone: 2}
	p := packet(bfd.Down, 0)
	p.from, p.zone = netip.MustParseAddr("fe80::1"), 2
	d.receive(p, begin)
	expect(t, "received", []uint64{d.sessions[0].received, d.sessions[1].received}, []uint64{0, 1})
}

func TestEventsOfASession(t *testing.T) {
	d := newDesk()
	d.replace([]Config{config("a", there4)}, begin)
	expect(t, "told", d.told(), []string{"new a"})
	d.receive(packet(bfd.Init, 1), begin.Add(ms))
	expect(t, "told", d.told(), []string{"a up=true "})
	down := packet(bfd.Down, 1)
	down.payload[0] |= byte(bfd.DetectionExpired)
	d.receive(down, begin.Add(2*ms))
	expect(t, "told", d.told(), []string{"a up=false Neighbor Signaled Session Down (Control Detection Time Expired)"})
	d.receive(packet(bfd.Down, 1), begin.Add(3*ms)) // Init: nobody's business
	expect(t, "told", d.told(), []string(nil))
	d.receive(packet(bfd.Up, 1), begin.Add(4*ms))
	d.due(begin.Add(305 * ms))
	expect(t, "told", d.told(), []string{"a up=true ", "(a) Expired after 301 ms (1000 usec overdue)", "a up=false Control Detection Time Expired"})
	s := d.sessions[0]
	expect(t, "downs, since", []any{s.downs, s.since}, []any{2, begin.Add(305 * ms)})
	expect(t, "sent", d.sent(), "a Down; a Up; a Down; a Init; a Up; a Down")
}

// TestPeerIsSwitchedOff has AdminDown, which is no failure, and then one.
func TestPeerIsSwitchedOff(t *testing.T) {
	d := newDesk()
	d.replace([]Config{config("a", there4)}, begin)
	d.receive(packet(bfd.Init, 1), begin)
	d.told()
	d.receive(packet(bfd.AdminDown, 1), begin)
	s := d.sessions[0]
	expect(t, "told", d.told(), []string{"(a) Entering Down state (Local diagnostic - Neighbor Signaled Session Down, Remote diagnostic - No Diagnostic)"})
	expect(t, "up, state, downs", []any{s.up, s.machine.State(), s.downs}, []any{true, bfd.Down, 0})

	// It is back, and back again.
	d.receive(packet(bfd.Init, 1), begin)
	expect(t, "told", d.told(), []string{"(a) Entering Up state"})
	d.receive(packet(bfd.AdminDown, 1), begin)
	d.receive(packet(bfd.Down, 1), begin)
	d.told()
	d.due(s.machine.Snapshot().Heard.Add(time.Minute))
	expect(t, "told", d.told(), []string{"(a) Expired after 60000 ms (59700000 usec overdue)", "a up=false Control Detection Time Expired"})
}

func TestDropsAreToldOnceUntilUp(t *testing.T) {
	d := newDesk()
	d.replace([]Config{config("a", there4)}, begin)
	d.told()
	far := packet(bfd.Down, 0)
	far.ttl = 254
	const line = "(a) packet from 192.0.2.2 dropped: TTL is too low: 254, wanted 255 or more"
	for range 3 {
		d.receive(far, begin)
	}
	expect(t, "told", d.told(), []string{line})
	d.receive(packet(bfd.Init, 1), begin)
	d.told()
	for range 3 {
		d.receive(far, begin)
	}
	expect(t, "told after it was up", d.told(), []string{line})
	expect(t, "dropped", d.sessions[0].dropped, 6)
}

func TestErrorsOfSendingAreToldOnce(t *testing.T) {
	d := newDesk()
	d.fail = errors.New("sendto: network is unreachable")
	d.replace([]Config{config("a", there4)}, begin)
	at := begin
	serve := func(n int) {
		for range n {
			at = d.queue[0].next
			d.due(at)
		}
	}
	serve(3)
	expect(t, "told", d.told(), []string{"new a", "(a) nothing is sent to 192.0.2.2: sendto: network is unreachable"})
	d.fail = nil
	serve(3)
	expect(t, "told", d.told(), []string{"(a) sending to 192.0.2.2 again"})
	expect(t, "sent", d.sessions[0].sent, 3)

	// Errors that come and go faster than anyone reads are told once a second.
	d.receive(packet(bfd.Init, 1), at)
	d.told()
	for i := range 40 { // 4 seconds
		if d.fail = nil; i%2 == 0 {
			d.fail = errors.New("sendto: no buffer space available")
		}
		at = at.Add(100 * ms)
		d.receive(packet(bfd.Up, 1), at)
		serve(1)
	}
	if n := len(d.told()); n < 2 || n > 5 {
		t.Errorf("%d notes in 4 s, want about 4", n)
	}
}

func TestReplace(t *testing.T) {
	d := newDesk()
	a, b, c := config("a", there4), config("b", other4), config("c", netip.MustParseAddr("192.0.2.9"))
	d.replace([]Config{a, b}, begin)
	d.receive(packet(bfd.Init, d.sessions[0].machine.Discriminator()), begin)
	d.told()
	d.sent()
	kept := d.sessions[0].machine

	// a has another interval and TTL, b another address, and c is new.
	a.MinTx, a.TTL = 50*ms, 64
	b.Peer = netip.MustParseAddr("192.0.2.8")
	d.replace([]Config{c, a, b}, begin.Add(ms))
	expect(t, "sent", d.sent(), "a TTL; b Down; b released; c Down; b Down")
	expect(t, "told", d.told(), []string{"new c", "new b"})
	if d.sessions[1].machine != kept || kept.State() != bfd.Up || kept.Snapshot().Period != 100*ms || !kept.Snapshot().Polling {
		t.Errorf("a did not go on: %+v", kept.Snapshot())
	}
	d.replace([]Config{a}, begin.Add(ms))
	d.replace([]Config{a}, begin.Add(ms))
	expect(t, "sent", d.sent(), "c Down; c released; b Down; b released")
	d.replace(nil, begin.Add(ms))
	expect(t, "sent", d.sent(), "a Down; a released")
	expect(t, "told", d.told(), []string(nil))
	expect(t, "left", []int{len(d.sessions), len(d.byDiscriminator), len(d.queue)}, []int{0, 0, 0})
}

func TestLateness(t *testing.T) {
	d := newDesk()
	d.replace([]Config{config("a", there4), config("b", other4)}, begin)
	next := d.due(begin)
	expect(t, "next", next, begin.Add(time.Second))
	d.due(next.Add(15 * ms))
	d.due(next.Add(15*ms + time.Second + 200*ms))
	expect(t, "lateness", d.counters.Lateness, Lateness{Served: 4, Over1ms: 4, Over10ms: 4, Over100ms: 2, Max: 200 * ms})
}

// TestQueue has the obvious answer beside the heap's.
func TestQueue(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var q queue
	all := make([]*session, 20)
	for i := range all {
		all[i] = &session{index: noIndex}
	}
	for range 5000 {
		q.set(all[rng.IntN(len(all))], mono.Time(rng.IntN(100))) // 0 takes it out
		var want []mono.Time
		for _, s := range all {
			if s.next != 0 {
				want = append(want, s.next)
			}
			if (s.next == 0) != (s.index == noIndex) || s.index != noIndex && q[s.index] != s {
				t.Fatalf("session at %v has index %d", s.next, s.index)
			}
		}
		if len(q) != len(want) || len(q) > 0 && q[0].next != slices.Min(want) {
			t.Fatalf("queue of %d, want %v", len(q), want)
		}
	}
}
