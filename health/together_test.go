package health_test

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"uvs/health"
)

// TestEventsComeTogether: while somebody takes his time with an event, what else happens waits and
// is told all at once, each once and in its order.
func TestEventsComeTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const servers = 100
		var calls, downs int
		n := newSite(health.Options{OnEvents: func(events []health.Event) {
			down := 0
			for _, e := range events {
				if e.Kind == health.ServerDown {
					down++
				}
			}
			if down > 0 {
				calls, downs = calls+1, downs+down
				time.Sleep(time.Second) // virtual
			}
		}})
		var list []health.Server
		for i := range servers {
			to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}), 80)
			n.dead[to] = true
			list = append(list, server(fmt.Sprint(i), health.Check{Target: to, Prompt: true}))
		}
		n.set.Apply(list)
		n.run(t, func() { n.at(time.Hour) })
		if downs != servers || calls > 4 {
			t.Errorf("%d servers were told to be down, with %d calls; want %d and a few", downs, calls, servers)
		}
	})
}
