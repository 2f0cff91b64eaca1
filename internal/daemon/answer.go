package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"uvs/internal/announce"
	"uvs/internal/hostnet"
	"uvs/internal/steer"
)

// answerRetry is how long after a failure a link is answered on again.
const answerRetry = time.Second

// bareLimits are what bare steering does not promise, for status.
func bareLimits() []string {
	return []string{
		"virtual addresses are on no interface: programs of this machine can neither listen on them nor connect to them, and their other ports are silent",
		"only while uvs runs does anybody answer for them; after a crash they are gone until the next start",
		"ARP, neighbour discovery and ping in one piece are answered, nothing else; IPv6 behind switches that snoop MLD may not be found",
		"forwarding must stay off and the addresses off the interfaces: a change is refused or reported, but not prevented",
	}
}

// tellSteering logs what an operator should know about the backend.
func (d *director) tellSteering() {
	d.holdings.bare = d.steer.Backend() == steer.Bare
	for _, p := range d.steer.PassedOver() {
		d.log.Info(fmt.Sprintf("steering: not %s, which %s", p.Backend, p.Err.Error()))
	}
	if d.holdings.bare {
		d.log.Warn("steering is bare: nothing in the kernel keeps its stack off; " + strings.Join(bareLimits(), "; "))
	}
}

// steerError adds to a refusal of bare steering why there is nothing better.
func (d *director) steerError(err error) error {
	if d.steer.Backend() != steer.Bare {
		return err
	}
	for _, p := range d.steer.PassedOver() {
		err = fmt.Errorf("%w; %s %s", err, p.Backend, p.Err.Error())
	}
	return err
}

// An answered link is one on which we speak for addresses.
type answeredLink struct {
	link   announce.Link
	addrs  []announce.Spoken
	cancel context.CancelFunc
	done   chan struct{} // closed when it ended
}

// answer speaks for the addresses that are on no interface, on the links as they come and go.
func (d *director) answer(ctx context.Context) error {
	active := make(map[int]*answeredLink)
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		s := d.network.Snapshot()
		wanted := d.holdings.answered(s)
		for index, a := range active {
			l, ok := s.LinkByIndex(index)
			if ok && announceLink(l) == a.link && slices.Equal(wanted[index], a.addrs) {
				continue
			}
			a.cancel()
			<-a.done
			delete(active, index)
		}
		for index, addrs := range wanted {
			if l, ok := s.LinkByIndex(index); ok && active[index] == nil {
				active[index] = d.answerOn(ctx, &wg, l, addrs)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-d.answers:
		}
	}
}

// answerOn answers for addresses on a link until it is cancelled, or wg's
// owner gives up.
func (d *director) answerOn(ctx context.Context, wg *sync.WaitGroup, l hostnet.Link, addrs []announce.Spoken) *answeredLink {
	ctx, cancel := context.WithCancel(ctx)
	a := &answeredLink{link: announceLink(l), addrs: addrs, cancel: cancel, done: make(chan struct{})}
	wg.Go(func() {
		defer close(a.done)
		told := ""
		for ctx.Err() == nil {
			if err := announce.Answer(ctx, a.link, addrs); err != nil && err.Error() != told {
				told = err.Error()
				d.log.Warn("virtual addresses are not answered for; trying again", "interface", l.Name, "error", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(answerRetry):
			}
		}
	})
	return a
}
