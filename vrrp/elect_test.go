package vrrp_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"uvs/internal/mono"
	"uvs/vrrp"
)

// candidate is router n of 10.9.0.0/24.
func candidate(n int, change func(*vrrp.Candidate)) vrrp.Candidate {
	c := vrrp.Candidate{
		Router: fmt.Sprintf("router %d", n), Source: netip.AddrFrom4([4]byte{10, 9, 0, byte(n)}),
		Group: netip.AddrFrom4([4]byte{224, 0, 0, 18}),
		Instance: vrrp.Instance{
			Name: "V", Version: 2, VRID: 51, Priority: 100, AdvertInterval: time.Second, DownTimerAdverts: 3,
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 9, 0, 100})},
		},
	}
	if change != nil {
		change(&c)
	}
	return c
}

// priority and backup are what most cases change.
func priority(p uint8) func(*vrrp.Candidate) { return func(c *vrrp.Candidate) { c.Priority = p } }

func waiting(p uint8) func(*vrrp.Candidate) {
	return func(c *vrrp.Candidate) { c.Priority, c.NoPreempt = p, true }
}

// TestElect is what operators ask before they start a second director.
func TestElect(t *testing.T) {
	unknown := func(c *vrrp.Candidate) { c.Source = netip.Addr{} }
	fast := func(p uint8, interval time.Duration) func(*vrrp.Candidate) {
		return func(c *vrrp.Candidate) { c.Version, c.Priority, c.AdvertInterval = 3, p, interval }
	}
	for name, x := range map[string]struct {
		routers []func(*vrrp.Candidate)
		want    string
	}{
		"a pair": {[]func(*vrrp.Candidate){priority(150), priority(100)},
			"[0 1]: 0 after 3.414s, as it has the highest priority, 150; lasting [0]; 1 takes over 3.609s after a crash, 609ms after a stop"},
		"the second is better": {[]func(*vrrp.Candidate){priority(100), priority(150)},
			"[0 1]: 1 after 3.414s, as it has the highest priority, 150; lasting [1]; 0 takes over 3.609s after a crash, 609ms after a stop"},
		"equal": {[]func(*vrrp.Candidate){nil, nil},
			"[0 1]: 1 after 3.609s, as priority 100 is equal, and 10.9.0.2 the higher address; lasting [1 0]; 0 takes over 3.609s after a crash, 609ms after a stop"},
		"equal, an address unknown": {[]func(*vrrp.Candidate){nil, unknown},
			"[0 1]: nobody after 3.609s, as priority 100 is equal, and the higher address decides; lasting [0 1]"},
		"both nopreempt": {[]func(*vrrp.Candidate){waiting(150), waiting(100)},
			"[0 1]: 0 after 3.414s, as it has the highest priority, 150; lasting [0 1]; 1 takes over 3.609s after a crash, 609ms after a stop"},
		"the better one waits": {[]func(*vrrp.Candidate){func(c *vrrp.Candidate) { waiting(150)(c); c.DownTimerAdverts = 5 }, priority(100)},
			"[0 1]: 1 after 3.609s, as its timer ends first, and nopreempt keeps router 1 from replacing it; lasting [0 1]; 0 takes over 5.414s after a crash, 414ms after a stop"},
		"an owner": {[]func(*vrrp.Candidate){priority(254), priority(255)},
			"[0 1]: 1 after 0s, as priority 255 owns the addresses; lasting [1]; 0 takes over 3.008s after a crash, 8ms after a stop"},
		"three": {[]func(*vrrp.Candidate){priority(100), priority(200), priority(150)},
			"[0 1 2]: 1 after 3.219s, as it has the highest priority, 200; lasting [1]; 2 takes over 3.414s after a crash, 414ms after a stop"},
		"version 3 takes the master's interval": {[]func(*vrrp.Candidate){fast(150, 100*time.Millisecond), fast(100, time.Second)},
			"[0 1]: 0 after 341ms, as it has the highest priority, 150; lasting [0]; 1 takes over 361ms after a crash, 61ms after a stop"},
		"a slow better one comes later": {[]func(*vrrp.Candidate){fast(150, time.Second), fast(100, 100*time.Millisecond)},
			"[0 1]: 0 after 3.414s, as it has the highest priority, 150; lasting [0]; 1 takes over 3.609s after a crash, 609ms after a stop"},
		"alone": {[]func(*vrrp.Candidate){nil}, "[0]: 0 after 3.609s, as it is alone; lasting [0]"},
		"two of three agree": {[]func(*vrrp.Candidate){priority(150), func(c *vrrp.Candidate) { c.AdvertInterval = 2 * time.Second }, priority(100)},
			"[0 2]: 0 after 3.414s, as it has the highest priority, 150; lasting [0]; 2 takes over 3.609s after a crash, 609ms after a stop\n" +
				"[1]: 1 after 6.609s, as it is alone; lasting [1]"},
	} {
		t.Run(name, func(t *testing.T) {
			var list []vrrp.Candidate
			for n, change := range x.routers {
				list = append(list, candidate(n+1, change))
			}
			var got []string
			for _, e := range vrrp.Elect(list) {
				got = append(got, describeElection(&e))
			}
			if got := strings.Join(got, "\n"); got != x.want {
				t.Errorf("got  %s\nwant %s", got, x.want)
			}
		})
	}
}

func describeElection(e *vrrp.Election) string {
	first := fmt.Sprint(e.First)
	if e.First < 0 {
		first = "nobody"
	}
	text := fmt.Sprintf("%v: %s after %s, as %s; lasting %v", e.Members, first, e.After.Round(time.Millisecond), e.Why, e.Lasting)
	if e.Successor >= 0 {
		text += fmt.Sprintf("; %d takes over %s after a crash, %s after a stop", e.Successor, e.Crash.Round(time.Millisecond), e.Stop.Round(time.Millisecond))
	}
	return text
}

// TestMismatches names each difference that makes two masters, seen by the first router.
func TestMismatches(t *testing.T) {
	pass := func(word string) func(*vrrp.Candidate) {
		return func(c *vrrp.Candidate) { c.Auth = vrrp.AuthPass; copy(c.Password[:], word) }
	}
	third := func(form vrrp.Checksum) func(*vrrp.Candidate) {
		return func(c *vrrp.Candidate) { c.Version, c.Checksum = 3, form }
	}
	to := func(peers ...string) func(*vrrp.Candidate) {
		return func(c *vrrp.Candidate) {
			c.Group, c.CheckPeers = netip.Addr{}, true
			for _, p := range peers {
				c.Peers = append(c.Peers, vrrp.Peer{Addr: netip.MustParseAddr(p), MaxTTL: 255})
			}
		}
	}
	for name, x := range map[string]struct {
		one, other func(*vrrp.Candidate)
		want       []string
	}{
		"none":                 {nil, nil, nil},
		"what need not agree":  {priority(150), func(c *vrrp.Candidate) { waiting(100)(c); c.DownTimerAdverts = 9 }, nil},
		"VRID":                 {nil, func(c *vrrp.Candidate) { c.VRID = 52 }, []string{"VRID 52, ours 51"}},
		"version":              {nil, third(vrrp.ChecksumAuto), []string{"version 3, ours 2"}},
		"interval":             {nil, func(c *vrrp.Candidate) { c.AdvertInterval = 2 * time.Second }, []string{"advert interval 2s, ours 1s"}},
		"interval, version 3":  {third(vrrp.ChecksumAuto), func(c *vrrp.Candidate) { third(vrrp.ChecksumAuto)(c); c.AdvertInterval /= 10 }, nil},
		"authentication":       {pass("a"), nil, []string{"authentication none, ours PASS"}},
		"AH":                   {pass("a"), func(c *vrrp.Candidate) { pass("a")(c); c.Auth = vrrp.AuthAH }, []string{"authentication AH, ours PASS"}},
		"password":             {pass("secret"), pass("other"), []string{"password differs from ours"}},
		"same password":        {pass("secret"), pass("secret"), nil},
		"password cut":         {pass("secret12"), pass("secret12345"), nil},
		"addresses":            {nil, func(c *vrrp.Candidate) { c.Addresses = []netip.Addr{c.Source} }, []string{"addresses differ: only theirs 10.9.0.2, only ours 10.9.0.100"}},
		"an address more":      {nil, func(c *vrrp.Candidate) { c.Addresses = append(c.Addresses, c.Source) }, []string{"addresses differ: only theirs 10.9.0.2, only ours none"}},
		"an address twice":     {nil, func(c *vrrp.Candidate) { c.Addresses = append(c.Addresses, c.Addresses[0]) }, []string{"2 addresses, ours 1"}},
		"another group":        {nil, func(c *vrrp.Candidate) { c.Group = netip.MustParseAddr("224.0.0.81") }, []string{"sent by multicast to 224.0.0.81, ours multicast to 224.0.0.18"}},
		"unicast":              {nil, to("10.9.0.1"), []string{"sent by unicast, ours multicast to 224.0.0.18"}},
		"unicast both":         {to("10.9.0.2"), to("10.9.0.1"), nil},
		"not a peer":           {to("10.9.0.2"), to("10.9.0.3"), []string{"source 10.9.0.1 is not a unicast peer; have 10.9.0.3"}},
		"not a peer of ours":   {to("10.9.0.3"), to("10.9.0.1"), []string{"source 10.9.0.2 is not a unicast peer; have 10.9.0.3"}},
		"source unknown":       {to("10.9.0.3"), func(c *vrrp.Candidate) { to("10.9.0.1")(c); c.Source = netip.Addr{} }, nil},
		"checksum":             {third(vrrp.ChecksumAuto), third(vrrp.ChecksumAsV2), []string{"checksum 0x5ffa (without pseudo header) should be 0x7560"}},
		"IPv6":                 {nil, func(c *vrrp.Candidate) { c.IPv6 = true }, []string{"packet is IPv6, ours IPv4"}},
		"all of them together": {pass("a"), func(c *vrrp.Candidate) { c.VRID = 9; c.AdvertInterval *= 2; c.Addresses = nil }, []string{"VRID 9, ours 51", "authentication none, ours PASS", "advert interval 2s, ours 1s", "addresses differ: only theirs none, only ours 10.9.0.100"}},
	} {
		t.Run(name, func(t *testing.T) {
			one, other := candidate(1, x.one), candidate(2, x.other)
			var got []string
			for _, m := range vrrp.Mismatches(&one, &other) {
				got = append(got, m.String())
			}
			same := slices.EqualFunc(got, x.want, strings.HasPrefix)
			if !same {
				t.Errorf("got %q, want %q", got, x.want)
			}
			if back := vrrp.Mismatches(&other, &one); len(back) != len(got) {
				t.Errorf("%d mismatches the other way round, want %d: %v", len(back), len(got), back)
			}
		})
	}
}

// A quietLAN carries adverts in a millisecond and loses none.
type quietLAN struct {
	list     []vrrp.Candidate
	machines []*vrrp.Machine // nil while off
	now      mono.Time
	flying   []flight
	masters  map[int]bool
	took     map[int]mono.Time // when each became master last
	last     mono.Time         // when an advert was sent last
	first    mono.Time         // when somebody became master first since it was cleared
}

type flight struct {
	at   mono.Time
	from int
	m    vrrp.Message
}

func newQuietLAN(list []vrrp.Candidate) *quietLAN {
	return &quietLAN{list: list, machines: make([]*vrrp.Machine, len(list)), now: mono.Time(time.Hour),
		masters: make(map[int]bool), took: make(map[int]mono.Time)}
}

func (l *quietLAN) start(n int) {
	l.machines[n] = vrrp.New(vrrp.Spec{Instances: []vrrp.Instance{l.list[n].Instance}})
	l.step(n, vrrp.SourceChanged{Instance: "V", Addr: l.list[n].Source})
	l.step(n, vrrp.Start{})
}

func (l *quietLAN) step(n int, ev vrrp.Event) {
	for _, e := range l.machines[n].Step(l.now, ev) {
		switch e := e.(type) {
		case vrrp.Send:
			l.flying = append(l.flying, flight{l.now.Add(time.Millisecond), n, e.Message})
			l.last = l.now
		case vrrp.Changed:
			if l.masters[n] = e.To == vrrp.Master; l.masters[n] {
				l.took[n] = l.now
				if l.first == 0 {
					l.first = l.now
				}
			}
		}
	}
}

// run lets time pass.
func (l *quietLAN) run(d time.Duration) {
	end := l.now.Add(d)
	for {
		next, who := end, -1
		for n, m := range l.machines {
			if m == nil {
				continue
			}
			if at, ok := m.Deadline(); ok && at.Before(next) {
				next, who = at, n
			}
		}
		if len(l.flying) > 0 && !l.flying[0].at.After(next) {
			f := l.flying[0]
			l.flying = l.flying[1:]
			l.now = max(l.now, f.at)
			l.deliver(f)
			continue
		}
		l.now = max(l.now, next)
		if who < 0 {
			return
		}
		l.step(who, vrrp.Tick{})
	}
}

func (l *quietLAN) deliver(f flight) {
	packet := f.m.AppendIPv4(nil, l.list[f.from].Source, l.list[f.from].Group, 255, 1)
	for n, m := range l.machines {
		if m != nil && n != f.from {
			l.step(n, vrrp.Received{Instance: "V", Packet: &vrrp.Packet{
				Source: l.list[f.from].Source, Destination: l.list[f.from].Group, TTL: 255, Header: packet[:20], Payload: packet[20:],
			}})
		}
	}
}

// master is the only master, −1 for none or several.
func (l *quietLAN) master() int {
	found := -1
	for n := range l.list {
		if l.masters[n] && l.machines[n] != nil {
			if found >= 0 {
				return -1
			}
			found = n
		}
	}
	return found
}

// randomCandidates are two to four routers that take each other's adverts.
func randomCandidates(r *rand.Rand) (list []vrrp.Candidate) {
	version, owner := uint8(2+r.IntN(2)), r.IntN(6)
	for n := range 2 + r.IntN(3) {
		list = append(list, candidate(1+n, func(c *vrrp.Candidate) {
			c.Version, c.Priority = version, uint8(60+40*r.IntN(4))
			if version == 3 {
				c.AdvertInterval = time.Duration(1+r.IntN(10)) * 100 * time.Millisecond
			}
			c.DownTimerAdverts = 2 + r.IntN(3)
			switch {
			case n == owner:
				c.Priority = 255
			case r.IntN(3) == 0:
				c.NoPreempt = true
			case r.IntN(4) == 0:
				c.PreemptDelay = time.Duration(1+r.IntN(9)) * time.Second
			}
		}))
	}
	return list
}

// TestElectIsWhatMachinesDo has the machines themselves hold the elections that Elect
// foresees: a cold start, each as the first, the crash of a master and its stop.
func TestElectIsWhatMachinesDo(t *testing.T) {
	const long = 60 * time.Second
	for seed := range uint64(300) {
		list := randomCandidates(rand.New(rand.NewPCG(seed, 7)))
		elections := vrrp.Elect(list)
		if len(elections) != 1 || elections[0].First < 0 {
			t.Fatalf("seed %d: %d elections, %v", seed, len(elections), elections)
		}
		e := &elections[0]
		near := func(what string, got, want, slack time.Duration) {
			if d := (got - want).Abs(); d > slack {
				t.Errorf("seed %d: %s after %v, want %v: %s", seed, what, got, want, describeElection(e))
			}
		}
		begin := func() *quietLAN {
			l := newQuietLAN(list)
			for n := range list {
				l.start(n)
			}
			l.run(long)
			return l
		}
		l := begin()
		if m := l.master(); m != e.First {
			t.Errorf("seed %d: %d is master after a cold start, want %s", seed, m, describeElection(e))
			continue
		}
		slack := 5 * time.Millisecond
		for _, c := range list {
			if c.PreemptDelay > 0 { // it ends between two adverts
				slack += time.Second
			}
		}
		near("cold start", l.took[e.First].Sub(mono.Time(time.Hour)), e.After, slack)
		l.machines[e.First], l.first = nil, 0
		last := l.last
		l.run(long / 2)
		near("crash", l.first.Sub(last), e.Crash, 5*time.Millisecond)

		l = begin()
		l.first = 0
		stopped := l.now
		l.step(e.First, vrrp.Stop{})
		l.run(long / 2)
		near("stop", l.first.Sub(stopped), e.Stop, 5*time.Millisecond)

		for n := range list {
			l := newQuietLAN(list)
			l.start(n)
			l.run(long)
			for other := range list {
				if other != n {
					l.start(other)
				}
			}
			l.run(long)
			// Of different intervals it depends on the moment who hears whom first.
			lasts, stays := slices.Contains(e.Lasting, n), l.master() == n
			if equal := slices.IndexFunc(list, func(c vrrp.Candidate) bool { return c.AdvertInterval != list[n].AdvertInterval }) < 0; stays != lasts && (lasts || equal) {
				t.Errorf("seed %d: %d stays master: %t, want %s", seed, n, stays, describeElection(e))
			}
		}
	}
}
