package daemon

import (
	"errors"
	"fmt"

	"uvs/forwarding"
	"uvs/forwarding/afpacket"
	"uvs/forwarding/afxdp"
	"uvs/internal/hostnet"
)

// lanes are the AF_XDP queues by which an interface's frames go out. They stay open when the
// ports that receive are replaced: an interface's queue has one owner at a time.
type lanes struct {
	queues  []*afxdp.Queue
	senders []*afxdp.Sender // by worker; none if frames go out by sendmmsg
	reason  string          // why they do, empty if there is nothing to tell
}

// openLanes takes an interface's queues, if its frames may go out by them.
func openLanes(asked string, link hostnet.Link, workers int) *lanes {
	path, err := hostnet.TransmitPathOf(link.Index)
	if err != nil {
		return &lanes{reason: err.Error()}
	}
	use, reason := planTransmit(asked, link, path)
	if !use {
		return &lanes{reason: reason}
	}
	l := &lanes{senders: make([]*afxdp.Sender, workers)}
	queues := min(path.Queues, workers)
	for q := range queues {
		c := afxdp.DefaultConfig(link.Index, q, link.MTU)
		c.Queued = path.Qdisc != "noqueue"
		c.Senders = (workers - q + queues - 1) / queues
		queue, err := afxdp.Open(c)
		if err != nil {
			l.close() //nolint:errcheck // the first error counts
			return &lanes{reason: fmt.Sprintf("no afxdp: %v", err)}
		}
		l.queues = append(l.queues, queue)
		for w := q; w < workers; w += queues {
			l.senders[w] = queue.Sender(w / queues)
		}
	}
	return l
}

// ports returns a group's ports as the workers use them.
func (l *lanes) ports(g *afpacket.Group) []forwarding.Port {
	var ports []forwarding.Port
	for i, p := range g.Ports() {
		if l.senders == nil {
			ports = append(ports, p)
		} else {
			ports = append(ports, l.senders[i].Port(p))
		}
	}
	return ports
}

// by names how frames go out.
func (l *lanes) by() string {
	if l.senders == nil {
		return transmitSendmmsg
	}
	return transmitAFXDP
}

// close gives the queues up; they are free when the ports are closed, too.
func (l *lanes) close() error {
	var errs []error
	for _, q := range l.queues {
		errs = append(errs, q.Close())
	}
	return errors.Join(errs...)
}
