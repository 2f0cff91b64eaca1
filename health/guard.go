package health

import (
	"fmt"
	"time"

	"uvs/internal/mono"
)

const (
	// windowSlack is what probes of one delay_loop may be late by.
	windowSlack = time.Second
	// leastFallen servers have to go down for a panic: that one alone is dead is no sign of a
	// fault of our own.
	leastFallen = 2
)

// A guard keeps servers as they were when too many of those that were up go down within one
// delay_loop, which looks like a fault on our own side: a panic. It stands between the checkers
// and whoever is told of servers, changes what is told and nothing else, and is pure. The zero
// guard lets everything through. Owned by the Set's lock.
type guard struct {
	servers map[Key]*guarded
	scopes  map[string]*scope // by service, and "" for all services together
}

// guarded is a server under guard.
type guarded struct {
	key    Key
	up     bool      // as its checkers say
	proven bool      // they have succeeded once: it was seen to be up
	told   bool      // up, as far as others know
	fell   mono.Time // when it went down; 0 while it is up, and when that counts no more
	scopes []*scope
}

// A scope is a set of servers of which a part may not go down at once.
type scope struct {
	name    string
	percent int
	window  time.Duration
	members []*guarded

	panics bool
	kept   map[*guarded]bool // who counts as up whatever the checkers say
	rose   map[*guarded]bool // who came up since and is up
	calm   mono.Time         // the end of the panic, 0 while nobody has come up
}

// A member is a server as the Set has it, for a guard that does not know it yet.
type member struct {
	key        Key
	up, proven bool
	loop       time.Duration // the longest of its checkers
}

// apply replaces limits, in percent by service and "" for all, and servers. Scopes and servers
// that stay go on as they were.
func (g *guard) apply(limits map[string]int, members []member, now mono.Time) []Event {
	if len(limits) == 0 && len(g.scopes) == 0 {
		return nil
	}
	old := *g
	*g = guard{servers: make(map[Key]*guarded, len(members)), scopes: make(map[string]*scope, len(limits))}
	for name, percent := range limits {
		c := &scope{name: name, percent: percent, kept: make(map[*guarded]bool), rose: make(map[*guarded]bool)}
		if was := old.scopes[name]; was != nil {
			c.panics, c.kept, c.rose, c.calm = was.panics, was.kept, was.rose, was.calm
		}
		g.scopes[name] = c
	}
	for _, m := range members {
		s := old.servers[m.key]
		if s == nil {
			s = &guarded{key: m.key, up: m.up, proven: m.proven, told: m.up}
		}
		s.scopes = nil
		for _, name := range [...]string{m.key.Service, ""} {
			if c := g.scopes[name]; c != nil {
				c.members = append(c.members, s)
				c.window = max(c.window, m.loop+windowSlack)
				s.scopes = append(s.scopes, c)
			}
		}
		g.servers[m.key] = s
	}
	for _, c := range g.scopes {
		for _, list := range []map[*guarded]bool{c.kept, c.rose} {
			for s := range list {
				if g.servers[s.key] != s {
					delete(list, s)
				}
			}
		}
		if c.panics && len(c.kept) == 0 {
			c.end()
		}
	}
	return g.settle(g.servers, now)
}

// hear takes an event of the checkers and returns what is to be told instead.
func (g *guard) hear(e Event) []Event {
	s := g.servers[e.Key]
	if s == nil || e.Initial {
		return []Event{e}
	}
	switch e.Kind {
	case CheckSucceeded:
		s.proven = true
	case ServerUp:
		return s.rise(e)
	case ServerDown:
		return g.fall(s, e)
	}
	return []Event{e}
}

// rise is a server that comes up.
func (s *guarded) rise(e Event) (events []Event) {
	s.up, s.proven, s.fell = true, true, 0
	for _, c := range s.scopes {
		if !c.panics {
			continue
		}
		c.rose[s] = true
		if c.calm == 0 {
			c.calm = e.Time.Add(c.window)
		}
		if c.keptAreUp() {
			events = append(events, c.over(e.Time))
		}
	}
	if !s.told {
		s.told = true
		events = append(events, e)
	}
	return events
}

// fall is a server that goes down.
func (g *guard) fall(s *guarded, e Event) (events []Event) {
	s.up = false
	if s.proven {
		s.fell = e.Time
	}
	for _, c := range s.scopes {
		if c.panics {
			if s.told {
				c.kept[s] = true
			}
			if delete(c.rose, s); len(c.rose) == 0 {
				c.calm = 0
			}
			continue
		}
		fallen, up := c.count(e.Time)
		if len(fallen) < leastFallen || len(fallen)*100 < c.percent*(len(fallen)+up) {
			continue
		}
		c.panics = true
		for _, x := range fallen {
			c.kept[x] = true
		}
		events = append(events, c.note(e.Time, fmt.Sprintf("PANIC: %d of %d servers of %s went down within %v; they stay as they were until checks succeed again",
			len(fallen), len(fallen)+up, c.title(), c.window)))
		for _, x := range fallen {
			if !x.told {
				x.told = true
				events = append(events, Event{Kind: ServerUp, Key: x.key, Time: e.Time})
			}
		}
	}
	if s.told && !s.counts() {
		s.told = false
		events = append(events, e)
	}
	return events
}

// counts reports whether a server is up for others.
func (s *guarded) counts() bool {
	if s.up {
		return true
	}
	for _, c := range s.scopes {
		if c.panics && c.kept[s] {
			return true
		}
	}
	return false
}

// count returns who went down within the window, and how many are up.
func (c *scope) count(now mono.Time) (fallen []*guarded, up int) {
	for _, s := range c.members {
		switch {
		case s.up:
			up++
		case s.fell != 0 && now.Sub(s.fell) <= c.window:
			fallen = append(fallen, s)
		}
	}
	return fallen, up
}

func (c *scope) keptAreUp() bool {
	for s := range c.kept {
		if !s.up {
			return false
		}
	}
	return true
}

// due returns when a panic ends, if the guard is told; 0 for never.
func (g *guard) due() (at mono.Time) {
	for _, c := range g.scopes {
		if c.calm != 0 && (at == 0 || c.calm.Before(at)) {
			at = c.calm
		}
	}
	return at
}

// pass ends the panics whose time has come.
func (g *guard) pass(now mono.Time) (events []Event) {
	for _, c := range g.scopes {
		if c.calm != 0 && !c.calm.After(now) {
			members := make(map[Key]*guarded, len(c.members))
			for _, s := range c.members {
				members[s.key] = s
			}
			events = append(events, c.over(now))
			events = append(events, g.settle(members, now)...)
		}
	}
	return events
}

// over ends a panic and returns the word of it.
func (c *scope) over(now mono.Time) Event {
	c.end()
	down := 0
	for _, s := range c.members {
		if !s.up {
			down++
		}
	}
	return c.note(now, fmt.Sprintf("PANIC is over for %s: %d of %d servers are up", c.title(), len(c.members)-down, len(c.members)))
}

// end forgets a panic. What went down for it does not count for the next.
func (c *scope) end() {
	c.panics, c.calm = false, 0
	clear(c.kept)
	clear(c.rose)
	for _, s := range c.members {
		s.fell = 0
	}
}

// settle tells of servers that do not count as up any more.
func (g *guard) settle(servers map[Key]*guarded, now mono.Time) (events []Event) {
	for _, s := range servers {
		if s.told && !s.counts() {
			s.told = false
			events = append(events, Event{Kind: ServerDown, Key: s.key, Time: now, Reason: "still down as the panic ended"})
		}
	}
	return events
}

// keeps reports whether a server counts as up although its checkers fail.
func (g *guard) keeps(k Key) bool {
	s := g.servers[k]
	return s != nil && !s.up && s.told
}

func (c *scope) title() string {
	if c.name == "" {
		return "all services"
	}
	return "VS " + c.name
}

func (c *scope) note(now mono.Time, text string) Event {
	return Event{Kind: Note, Key: Key{Service: c.name}, Time: now, Message: text}
}
