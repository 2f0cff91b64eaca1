package router

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"uvs/internal/mono"
	"uvs/vrrp"
)

// A loop is the timer thread and what belongs to it.
type loop struct {
	machine  *vrrp.Machine
	effect   func(vrrp.Effect)
	realtime int
	wakeFD   int
	late     lateness

	mu     sync.Mutex // guards inbox and closed, and is held to write to wakeFD
	inbox  []func(*loop, mono.Time)
	closed bool
	ended  chan struct{} // closed when the thread is about to end: nothing is done any more

	// spare are sockets opened ahead. They belong to the opener.
	spare map[socketKey]*socket

	// What follows belongs to the thread.
	sockets map[socketKey]*socket
	polls   []unix.PollFd // the waker, then those of receivers
	readers []*socket
	senders map[string]*sender
	packet  []byte // scratch
}

// A sender is what an instance sends by.
type sender struct {
	way
	socket *socket
	id     uint16 // of the last IPv4 packet
	failed string // the last error, said once
}

func newLoop(m *vrrp.Machine, realtime int, effect func(vrrp.Effect)) (*loop, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	l := &loop{machine: m, effect: effect, realtime: realtime, wakeFD: fd, ended: make(chan struct{}), sockets: make(map[socketKey]*socket)}
	l.polls = []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	return l, nil
}

func (l *loop) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, s := range l.sockets {
		s.close()
	}
	return os.NewSyscallError("close", unix.Close(l.wakeFD))
}

// do has f called by the thread. It does not wait. Once the thread has ended f is not called.
func (l *loop) do(f func(*loop, mono.Time)) {
	l.mu.Lock()
	l.inbox = append(l.inbox, f)
	l.mu.Unlock()
	l.wake()
}

func (l *loop) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return // the number may be another's descriptor by now
	}
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	unix.Write(l.wakeFD, one[:]) //nolint:errcheck // a full counter wakes as well
}

// run is the thread.
func (l *loop) run(ctx context.Context) error {
	runtime.LockOSThread() // and never unlocked: a real-time thread is not for others
	defer l.close()        //nolint:errcheck // nothing to be done about it
	defer l.serveInbox()   // who waits for an answer gets it
	defer close(l.ended)
	stop := context.AfterFunc(ctx, l.wake)
	defer stop()
	if l.realtime > 0 {
		if err := beRealtime(l.realtime); err != nil {
			l.effect(vrrp.Log{Level: vrrp.Info, Text: fmt.Sprintf("VRRP timers are not real-time and may be late on a busy machine (needs CAP_SYS_NICE): %v", err)})
		}
	}
	for ctx.Err() == nil {
		if err := l.wait(); err != nil {
			return err
		}
		if now := mono.Now(); l.due(now) {
			deadline, _ := l.machine.Deadline()
			l.late.add(now, now.Sub(deadline))
		}
		l.hear()
		l.serveInbox()
		if now := mono.Now(); l.due(now) {
			l.step(now, vrrp.Tick{})
		}
	}
	return nil
}

// due reports whether a deadline has come.
func (l *loop) due(now mono.Time) bool {
	deadline, ok := l.machine.Deadline()
	return ok && !deadline.After(now)
}

// wait sleeps until something arrives or a deadline comes.
func (l *loop) wait() error {
	var timeout *unix.Timespec
	if deadline, ok := l.machine.Deadline(); ok {
		t := unix.NsecToTimespec(int64(max(deadline.Sub(mono.Now()), 0)))
		timeout = &t
	}
	_, err := unix.Ppoll(l.polls, timeout, nil)
	if err != nil && err != unix.EINTR && err != unix.EAGAIN {
		return os.NewSyscallError("ppoll", err)
	}
	if l.polls[0].Revents != 0 {
		var b [8]byte
		unix.Read(l.wakeFD, b[:]) //nolint:errcheck // it was only to wake
	}
	return nil
}

// mostPackets bounds what is heard from one socket before timers are looked at again: all that
// several hundred instances send in some intervals, in some milliseconds.
const mostPackets = 4096

// hear takes packets in.
func (l *loop) hear() {
	for n, s := range l.readers {
		if l.polls[n+1].Revents == 0 {
			continue
		}
		for range mostPackets {
			p, vrid, ok := s.receive()
			if !ok {
				break
			}
			if p == nil {
				continue
			}
			now := mono.Now()
			if len(s.listeners[vrid]) == 0 && !l.knows(vrid, s.ipv6) {
				l.step(now, vrrp.Stray{Device: s.device.Name, VRID: vrid, Source: p.Source})
			}
			for _, name := range s.listeners[vrid] {
				l.step(now, vrrp.Received{Instance: name, Packet: p})
			}
		}
	}
}

// knows reports whether any instance of a family has a VRID. Several sockets get a packet that
// is for one of them: those of other groups, and of virtual MACs.
func (l *loop) knows(vrid uint8, ipv6 bool) bool {
	for _, s := range l.senders {
		if s.VRID == vrid && s.IPv6 == ipv6 {
			return true
		}
	}
	return false
}

func (l *loop) serveInbox() {
	l.mu.Lock()
	inbox := l.inbox
	l.inbox = nil
	l.mu.Unlock()
	for _, f := range inbox {
		f(l, mono.Now())
	}
}

// step hands an event to the Machine and does what it says.
func (l *loop) step(now mono.Time, ev vrrp.Event) { l.effects(now, l.machine.Step(now, ev)) }

func (l *loop) effects(_ mono.Time, list []vrrp.Effect) {
	for _, e := range list {
		if s, ok := e.(vrrp.Send); ok {
			l.send(&s)
			continue
		}
		l.effect(e)
	}
}

// send sends an advert to the group or to each peer. What the network refuses is said once.
func (l *loop) send(s *vrrp.Send) {
	r := l.senders[s.Instance]
	if r == nil || r.socket == nil {
		return
	}
	var errs []error
	if r.Group.IsValid() {
		errs = append(errs, l.sendTo(r, &s.Message, r.Group, multicastTTL))
	}
	for _, peer := range r.Peers {
		errs = append(errs, l.sendTo(r, &s.Message, peer, r.TTL))
	}
	failed := ""
	if err := errors.Join(errs...); err != nil {
		failed = err.Error()
	}
	if failed != "" && failed != r.failed {
		l.effect(vrrp.Log{Level: vrrp.Warn, Text: fmt.Sprintf("(%s) adverts cannot be sent: %s", s.Instance, failed)})
	}
	r.failed = failed
}

// multicastTTL is what RFC 9568, Sections 5.1.1.3 and 5.1.2.3 ask for.
const multicastTTL = 255

func (l *loop) sendTo(r *sender, m *vrrp.Message, to netip.Addr, ttl int) error {
	if r.IPv6 {
		l.packet = m.AppendIPv6(l.packet[:0], r.Source, to)
	} else {
		if r.id++; r.id == 0 {
			r.id = 1 // the kernel would put one of its own in place of 0
		}
		l.packet = m.AppendIPv4(l.packet[:0], r.Source, to, uint8(ttl), r.id)
	}
	if err := r.socket.send(l.packet, r.Source, to, r.Send.Index, ttl); err != nil {
		return fmt.Errorf("to %s: %w", to, err)
	}
	return nil
}

// setWays opens the sockets that instances need and hands them to the thread, which closes
// those that nobody needs any more. It is called by one goroutine at a time, not the thread.
func (l *loop) setWays(ways []way) {
	have := make(chan map[socketKey]*socket, 1)
	l.do(func(l *loop, _ mono.Time) { have <- l.sockets })
	var o opening
	select {
	case o.old = <-have: // only we have it changed
	case <-l.ended:
		return
	}
	o.spare = l.spare
	o.next, o.senders, o.listeners = make(map[socketKey]*socket), make(map[string]*sender), make(map[socketKey]map[uint8][]string)
	for _, w := range ways {
		if err := o.open(w); err != nil {
			l.effect(vrrp.Log{Level: vrrp.Warn, Text: fmt.Sprintf("(%s) no socket for adverts: %v", w.Instance, err)})
		}
	}
	done := make(chan struct{})
	l.do(func(l *loop, now mono.Time) { l.use(now, &o); close(done) })
	select {
	case <-done:
	case <-l.ended:
		select {
		case <-done: // the thread closes them
		default:
			o.drop()
		}
	}
}

// prepare opens ahead what ways need beside the sockets that there are: all of it, or nothing and
// an error. It is called by the opener.
func (l *loop) prepare(ways iter.Seq[way]) error {
	have := make(chan map[socketKey]*socket, 1)
	l.do(func(l *loop, _ mono.Time) { have <- l.sockets })
	var open map[socketKey]*socket
	select {
	case open = <-have:
	case <-l.ended:
		return errors.New("VRRP has ended")
	}
	l.dropSpare()
	l.spare = make(map[socketKey]*socket)
	for w := range ways {
		if !w.ready() {
			continue
		}
		listen, send := w.keys()
		for _, k := range []socketKey{listen, send} {
			if open[k] != nil || l.spare[k] != nil {
				continue
			}
			s, err := openSocket(k)
			if err != nil {
				l.dropSpare()
				return fmt.Errorf("no socket for adverts of %s: %w", w.Instance, err)
			}
			l.spare[k] = s
		}
	}
	return nil
}

// dropSpare closes what was opened ahead and is not used. It is called by the opener.
func (l *loop) dropSpare() {
	for _, s := range l.spare {
		s.close()
	}
	l.spare = nil
}

// An opening is the sockets that there were and those that there are to be.
type opening struct {
	old, next map[socketKey]*socket
	spare     map[socketKey]*socket // opened ahead
	senders   map[string]*sender
	listeners map[socketKey]map[uint8][]string // instances by VRID
}

// open opens what an instance needs. After an error it is as if it had no source.
func (o *opening) open(w way) error {
	s := &sender{way: w}
	o.senders[w.Instance] = s
	if !w.ready() {
		s.Source = netip.Addr{}
		return nil
	}
	listen, send := w.keys()
	_, err := o.socket(listen)
	if err == nil {
		s.socket, err = o.socket(send)
	}
	if err != nil {
		s.Source = netip.Addr{}
		return err
	}
	if o.listeners[listen] == nil {
		o.listeners[listen] = make(map[uint8][]string)
	}
	o.listeners[listen][w.VRID] = append(o.listeners[listen][w.VRID], w.Instance)
	return nil
}

func (o *opening) socket(k socketKey) (*socket, error) {
	if s := o.next[k]; s != nil {
		return s, nil
	}
	s := o.old[k]
	if s == nil {
		s = o.spare[k]
		delete(o.spare, k)
	}
	if s == nil {
		var err error
		if s, err = openSocket(k); err != nil {
			return nil, err
		}
	}
	o.next[k] = s
	return s, nil
}

// drop closes what was opened for nothing.
func (o *opening) drop() {
	for k, s := range o.next {
		if o.old[k] != s {
			s.close()
		}
	}
}

// use puts new sockets in place of those that there are, and tells the Machine.
func (l *loop) use(now mono.Time, o *opening) {
	for k, s := range l.sockets {
		if o.next[k] != s {
			s.close()
		}
	}
	l.sockets = o.next
	l.polls, l.readers = l.polls[:1], nil
	for k, s := range o.next {
		s.listeners = o.listeners[k]
		if k.listens {
			l.readers = append(l.readers, s)
			l.polls = append(l.polls, unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN})
		}
	}
	for name, s := range o.senders {
		if old := l.senders[name]; old != nil {
			s.id, s.failed = old.id, old.failed
		}
	}
	l.senders = o.senders
	for name, s := range o.senders {
		l.step(now, vrrp.SourceChanged{Instance: name, Addr: s.Source})
	}
}

// rename has instances send and listen under other names.
func (l *loop) rename(renames map[string]string) {
	for from, to := range renames {
		if s := l.senders[from]; s != nil {
			delete(l.senders, from)
			s.Instance = to
			l.senders[to] = s
		}
	}
	for _, s := range l.readers {
		for _, names := range s.listeners {
			for n, name := range names {
				if to := renames[name]; to != "" {
					names[n] = to
				}
			}
		}
	}
}

// beRealtime gives the calling thread a priority above all ordinary ones. Its children do not
// inherit it.
func beRealtime(priority int) error {
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: uint32(priority)}
	return os.NewSyscallError("sched_setattr", unix.SchedSetAttr(0, &attr, 0))
}
