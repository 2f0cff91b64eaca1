package daemon

import (
	"errors"
	"fmt"
	"math/bits"

	"uvs/forwarding"
	"uvs/forwarding/afpacket"
	"uvs/forwarding/afxdp"
	"uvs/internal/hostnet"
	"uvs/internal/steer"
	"uvs/internal/wire"
)

// lanes are the AF_XDP queues of an interface: by them frames go out, and with --io afxdp the
// plain ones come in. They stay open when the ports that receive all the rest are replaced: an
// interface's queue has one owner at a time.
type lanes struct {
	queues    []*afxdp.Queue
	senders   []*afxdp.Sender     // by worker; none if frames go out by sendmmsg
	reason    string              // why they do, empty if there is nothing to tell
	receivers [][]*afxdp.Receiver // by worker; none if no frames come in this way
	handed    bool                // workers have the receivers, and close them
	door      steer.Doorway       // for the program that diverts frames to the queues
	diversion *steer.Diversion    // nil: no frames are diverted
	notIn     string              // why none are although they were asked for
	tried     bool                // the program could not be attached
}

// A laneWish is what the queues of an interface are to do.
type laneWish struct {
	transmit string // --transmit
	receive  bool   // --io afxdp
	memory   int    // bytes that receiving may take
	workers  int
}

// openLanes takes an interface's queues, if its frames may go by them.
func openLanes(wish laneWish, link hostnet.Link) *lanes {
	path, err := hostnet.TransmitPathOf(link.Index)
	if err != nil {
		return &lanes{reason: err.Error()}
	}
	send, reason := planTransmit(wish.transmit, link, path)
	l := &lanes{reason: reason}
	frames := 0
	if wish.receive {
		frames, l.notIn = planReceive(link, path.Queues, wish.memory)
	}
	if !send && frames == 0 {
		return l
	}
	if err := l.open(wish, link, path, frames); err != nil {
		l.close() //nolint:errcheck // the first error counts
		failed := &lanes{reason: l.reason, notIn: l.notIn}
		if send {
			failed.reason = fmt.Sprintf("no afxdp: %v", err)
		}
		if frames > 0 {
			failed.notIn = fmt.Sprintf("nothing comes in by afxdp: %v", err)
		}
		return failed
	}
	if !send {
		l.senders = nil
	}
	return l
}

// open opens as many queues as the workers can send by or, where frames come in, all of them.
// Queue number q belongs to worker q modulo their number.
func (l *lanes) open(wish laneWish, link hostnet.Link, path hostnet.TransmitPath, frames int) error {
	queues := path.Queues
	if frames == 0 {
		queues = min(queues, wish.workers)
	} else {
		l.receivers = make([][]*afxdp.Receiver, wish.workers)
	}
	l.senders = make([]*afxdp.Sender, wish.workers)
	for q := range queues {
		c := afxdp.DefaultConfig(link.Index, q, link.MTU)
		c.MAC, c.Receive, c.Unfinished = link.MAC, frames, link.Kind == "veth"
		c.Queued = path.Qdisc != "noqueue"
		c.Senders = (wish.workers - q + queues - 1) / queues
		queue, err := afxdp.Open(c)
		if err != nil {
			return err
		}
		l.queues = append(l.queues, queue)
		for w := q; w < wish.workers; w += queues {
			l.senders[w] = queue.Sender(w / queues)
		}
		if frames > 0 {
			w := q % wish.workers
			l.receivers[w] = append(l.receivers[w], queue.Receiver())
			l.door = steer.Doorway{MAC: link.MAC, Longest: min(link.MTU+wire.EthernetLen, c.Longest())}
		}
	}
	return nil
}

// Frames that a queue has room for. A driver's ring is rarely longer than the most of them.
const (
	leastXDPFrames = 64
	mostXDPFrames  = 4096
)

// planReceive returns how many frames each of an interface's queues may have on their way in by
// AF_XDP, a power of two, or 0 and why there is none.
//
// Devices on top of others are left out: they have no queues of their own, and their frames
// have met the stack already.
func planReceive(l hostnet.Link, queues, memory int) (frames int, reason string) {
	c := afxdp.DefaultConfig(l.Index, 0, l.MTU)
	n := memory / max(queues, 1) / c.Chunk
	switch {
	case l.Loopback:
		return 0, ""
	case l.Kind != "" && l.Kind != "veth":
		return 0, fmt.Sprintf("nothing comes in by afxdp: it is a device of kind %s", l.Kind)
	case l.MTU+wire.EthernetLen > c.Longest():
		return 0, fmt.Sprintf("nothing comes in by afxdp: its MTU is above %d", c.Longest()-wire.EthernetLen)
	case n < leastXDPFrames:
		return 0, fmt.Sprintf("nothing comes in by afxdp: %d queues do not fit %s; give more with --ring-memory", queues, mebibytes(memory))
	}
	return min(1<<(bits.Len(uint(n))-1), mostXDPFrames), ""
}

// hiddenTags says why XDP would not see that an interface's frames have VLAN tags, or nothing if
// it would. Such frames are told by their tags only.
func hiddenTags(l hostnet.Link, s *hostnet.Snapshot) string {
	if l.Kind == "veth" { // a tag stays beside the frame, where the other end's kernel put it
		for _, x := range s.Links {
			if x.Parent == l.Index && x.Kind == "vlan" {
				return fmt.Sprintf("nothing comes in by afxdp: XDP does not see tags on a veth, and %s is on it", x.Name)
			}
		}
		return ""
	}
	strips, err := hostnet.StripsVLAN(l.Name)
	switch {
	case err != nil:
		return "nothing comes in by afxdp: " + err.Error()
	case strips:
		return fmt.Sprintf("nothing comes in by afxdp: the device takes VLAN tags off before XDP sees them; ethtool -K %s rxvlan off", l.Name)
	}
	return ""
}

// divert has frames come in by the queues, or not, as reason is empty or says why they must not.
func (l *lanes) divert(d *steer.Diverter, link int, reason string) error {
	if l.receivers == nil || l.tried {
		return nil
	}
	l.notIn = reason
	if reason != "" || l.diversion != nil {
		if reason == "" {
			return nil
		}
		return l.undivert()
	}
	sockets := make([]int, len(l.queues))
	for i, q := range l.queues {
		sockets[i] = q.FD()
	}
	v, err := d.Divert(link, l.door, sockets)
	if err != nil {
		l.tried, l.notIn = true, fmt.Sprintf("nothing comes in by afxdp: %v", err)
		return nil
	}
	l.diversion = v
	return nil
}

// undivert has all frames come in by the other ports.
func (l *lanes) undivert() error {
	if l.diversion == nil {
		return nil
	}
	err := l.diversion.Close()
	l.diversion = nil
	return err
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

// receiversOf returns the ports by which a worker has diverted frames. They stand behind those
// that send.
func (l *lanes) receiversOf(worker int) (ports []forwarding.Port) {
	if l.receivers == nil {
		return nil
	}
	l.handed = true
	for _, r := range l.receivers[worker] {
		ports = append(ports, r)
	}
	return ports
}

// in names how plain frames come in, empty if as all do.
func (l *lanes) in() string {
	if l.diversion == nil {
		return ""
	}
	return "afxdp+"
}

// by names how frames go out.
func (l *lanes) by() string {
	if l.senders == nil {
		return transmitSendmmsg
	}
	return transmitAFXDP
}

// stats sums what came in by the queues.
func (l *lanes) stats() (total forwarding.PortStats) {
	for _, list := range l.receivers {
		for _, r := range list {
			total = add(total, r.Stats())
		}
	}
	return total
}

// bytes returns the memory that receiving takes.
func (l *lanes) bytes() int { return l.stats().RingBytes }

// rest returns what of an interface's share is left for its other rings: all that the queues do
// not take, and half of it also when the share has become small.
func (l *lanes) rest(share int) int { return max(share-l.bytes(), share/2) }

// close gives the queues up; they are free when the ports are closed, too.
func (l *lanes) close() error {
	errs := []error{l.undivert()}
	if !l.handed {
		for _, list := range l.receivers {
			for _, r := range list {
				errs = append(errs, r.Close())
			}
		}
	}
	for _, q := range l.queues {
		errs = append(errs, q.Close())
	}
	return errors.Join(errs...)
}
