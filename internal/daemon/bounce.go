package daemon

import (
	"time"

	"uvs/config"
	"uvs/internal/mono"
)

// A debouncer has changes of interfaces count when they have lasted for a while
// (interface_up_down_delays). It knows no clock. It is owned by one goroutine at a time.
type debouncer struct {
	delays map[string]config.InterfaceDelay
	links  map[string]*bounced
}

// A bounced is what counts of an interface, since when it is otherwise, 0 if it is not, and until
// when the caller sleeps.
type bounced struct {
	up           bool
	other, asked mono.Time
}

func newDebouncer(list []config.InterfaceDelay) *debouncer {
	d := &debouncer{links: make(map[string]*bounced)}
	d.configure(list)
	return d
}

// configure changes the delays. What is under way goes on.
func (d *debouncer) configure(list []config.InterfaceDelay) {
	d.delays = make(map[string]config.InterfaceDelay, len(list))
	for _, x := range list {
		d.delays[x.Interface] = x
	}
}

// counts returns whether an interface counts as up that is so at the moment, and when to ask
// again, 0 if that was said before or only a change can make a difference. The first state of all counts at once.
func (d *debouncer) counts(name string, up bool, now mono.Time) (counted bool, again time.Duration) {
	l := d.links[name]
	if l == nil {
		l = &bounced{up: up}
		d.links[name] = l
	}
	if l.up == up {
		l.other = 0
		return up, 0
	}
	if l.other == 0 {
		l.other = now
	}
	delay := d.delays[name].Down
	if up {
		delay = d.delays[name].Up
	}
	if left := delay - now.Sub(l.other); left > 0 {
		if l.asked.After(now) {
			return l.up, 0
		}
		l.asked = now.Add(left)
		return l.up, left
	}
	l.up, l.other = up, 0
	return up, 0
}

// gone has an interface count as down at once, as it is not there.
func (d *debouncer) gone(name string) { d.links[name] = &bounced{} }
