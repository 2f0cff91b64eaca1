package daemon

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"uvs/forwarding"
	"uvs/internal/ownwatch"
	"uvs/internal/preflight"
)

// ownKept is for how long an own connection is shown after the last one.
const ownKept = 5 * time.Minute

// ownRetry is how long after a failure the loopback interface is watched again.
const ownRetry = 10 * time.Second

// ownConnections are what programs on this machine sent to virtual services, which this
// machine's stack keeps to itself.
type ownConnections struct {
	news chan struct{} // holds one: a service is new among them

	mu   sync.Mutex // guards seen
	seen map[forwarding.ServiceKey]time.Time
}

func newOwnConnections() *ownConnections {
	return &ownConnections{news: make(chan struct{}, 1), seen: make(map[forwarding.ServiceKey]time.Time)}
}

func (o *ownConnections) note(k forwarding.ServiceKey, now time.Time) {
	o.mu.Lock()
	_, known := o.seen[k]
	o.seen[k] = now
	o.mu.Unlock()
	if known {
		return
	}
	select {
	case o.news <- struct{}{}:
	default:
	}
}

// findings are those of the last ownKept, sorted.
func (o *ownConnections) findings(now time.Time) []preflight.Finding {
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.DeleteFunc(o.seen, func(_ forwarding.ServiceKey, at time.Time) bool { return now.Sub(at) >= ownKept })
	var list []preflight.Finding
	for _, k := range slices.SortedFunc(maps.Keys(o.seen), compareKeys) {
		list = append(list, preflight.Finding{Problem: true, Text: fmt.Sprintf(
			"own connection to VIP: a program on this machine sends to %s, which is not forwarded: this machine's own stack answers, "+
				"and refuses if nothing listens there; let the program use a real server's address", k)})
	}
	return list
}

func compareKeys(a, b forwarding.ServiceKey) int {
	return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol))
}

// service returns the service that an attempt is for.
func (g *goal) service(a ownwatch.Attempt) (k forwarding.ServiceKey, ok bool) {
	for _, m := range g.services {
		if m.Addr == a.Dst.Addr() && m.Proto == a.Protocol && (m.Port == a.Dst.Port() || m.Port == 0) {
			return forwarding.ServiceKey{Addr: m.Addr, Port: m.Port, Protocol: m.Proto}, true
		}
	}
	return k, false
}

// watchOwn notes own connections to virtual services. Without the loopback interface there
// are none.
func (d *director) watchOwn(ctx context.Context) error {
	told := ""
	for {
		err := d.watchLoopback(ctx)
		if err != nil && err.Error() != told {
			told = err.Error()
			d.log.Warn("own connections to virtual addresses are not noticed; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(ownRetry):
		}
	}
}

func (d *director) watchLoopback(ctx context.Context) error {
	for _, l := range d.network.Snapshot().Links {
		if l.Loopback && l.Up {
			return ownwatch.Watch(ctx, l.Index, func(a ownwatch.Attempt) {
				if k, ok := d.goal.Load().service(a); ok {
					d.own.note(k, time.Now())
				}
			})
		}
	}
	return nil
}
