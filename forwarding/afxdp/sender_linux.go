package afxdp

import (
	"time"

	"golang.org/x/sys/unix"

	"uvs/forwarding"
)

// sendFrames bounds the frames of one system call. It is a worker's batch.
const sendFrames = 64

// A send that finds no room waits for some at most roomWaits times, roomWait each; see
// afpacket's Send, which does the same.
const (
	roomWaits = 2
	roomWait  = 50 * time.Microsecond
	// leastBudget is how many frames every kernel sends in one call, if it has room (TX_BATCH_SIZE in
	// net/xdp/xsk.c; 32 since Linux 5.11).
	leastBudget = 16
	// refusals is how many frames of one send a device may refuse, one by one, before the
	// rest is given up: it does so without carrier.
	refusals = 4
)

// A Sender is one worker's socket on a queue. But for Port it belongs to that worker.
type Sender struct {
	queue   *Queue
	umem    *umem
	fd      int
	tx      ring[desc] // frames to send: we write
	chunks  [sendFrames]uint32
	crowded bool     // the last send ended for want of room
	exact   bool     // the kernel tells at the end of each call how far it came
	waiting *waiting // nil: the interface has no queueing discipline
}

// send passes frames to the kernel and returns how many of them it took, from the first on.
// Each must fit a chunk. errno says why it did not take the rest.
func (s *Sender) send(fs []forwarding.Frame) (sent int, errno unix.Errno) {
	waits := roomWaits
	if s.crowded {
		waits = 0
	}
	s.crowded = false
	for sent < len(fs) && errno == 0 {
		n := s.post(fs[sent:])
		switch {
		case n > 0:
			var taken int
			taken, errno = s.kick(n, &waits)
			sent += taken
		case s.tx.consumed() != *s.tx.producer: // void entries fill the ring
			_, errno = s.kick(0, &waits)
		case waits > 0: // the device has every chunk
			waits--
			pause(roomWait)
		default:
			errno, s.crowded = unix.EAGAIN, true
		}
	}
	return sent, errno
}

// post writes frames into the ring, as many as there is room for, and returns how many.
func (s *Sender) post(fs []forwarding.Frame) int {
	first := *s.tx.producer
	room := len(s.tx.entries) - int(first-s.tx.consumed())
	n := s.umem.take(s.chunks[:min(len(fs), room, sendFrames)])
	for i, c := range s.chunks[:n] {
		b, addr := s.umem.bytes(c)
		*s.tx.at(first + uint32(i)) = desc{addr: addr, len: uint32(write(b, &fs[i]))}
	}
	s.tx.produce(first + uint32(n))
	return n
}

// kick has the kernel send the last n entries of the ring, and returns how many of them it
// took. What it does not take it will not get: those entries are made void.
//
// Before Linux 6.17 a call that ends early, as it does after so many frames, tells nothing of the
// entries that it took; a later one that has gone through all does. So it is repeated as often as
// there are budgets in them.
func (s *Sender) kick(n int, waits *int) (taken int, errno unix.Errno) {
	end := *s.tx.producer
	tries, refused := refusals, 0
	at := s.tx.consumed()
	again := int(end-at) / leastBudget
	for at != end { // each call moves on, or is counted below
		errno = s.call()
		next := s.tx.consumed()
		moved := next != at
		at = next
		switch {
		case moved && (errno == 0 || errno == unix.EAGAIN || errno == unix.EINTR):
			continue
		case errno == unix.EAGAIN && !s.exact && again > 0:
			again--
			continue
		case errno == 0 || errno == unix.EINTR:
			errno = unix.EAGAIN
		case errno == unix.EBUSY: // one frame was refused, and is gone
			if moved || !s.exact {
				refused++
			}
			if tries--; tries > 0 {
				continue
			}
		}
		noRoom := errno == unix.EAGAIN || errno == unix.ENOBUFS
		if noRoom && *waits > 0 {
			*waits--
			s.umem.give() // a full completion ring keeps the kernel from going on
			pause(roomWait)
			continue
		}
		s.crowded = noRoom
		return max(n-s.void(at, end)-refused, 0), errno
	}
	if refused > 0 {
		return max(n-refused, 0), unix.EBUSY
	}
	return n, 0
}

// call has the kernel go through the ring.
func (s *Sender) call() unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return errno
}

// void has the kernel skip entries that it has not consumed, which it reads in our system
// calls only, takes their chunks back, and returns how many they are. Kernels that do not tell what
// they consumed skip them at once, and count what they skip.
func (s *Sender) void(first, end uint32) int {
	var addrs [sendFrames]uint64 // no more than one post's: what is older is void
	list := addrs[:0]
	for i := first; i != end; i++ {
		if d := s.tx.at(i); d.addr != nowhere {
			list = append(list, d.addr)
			d.addr = nowhere
		}
	}
	if !s.exact {
		list = list[len(list)-s.skip(len(list), end):]
	}
	s.umem.give(list...)
	return len(list)
}

// skip has the kernel go over the void entries before end, and returns how many of the last n it had
// not taken before they were void: all, if it does not go on at all.
func (s *Sender) skip(n int, end uint32) int {
	before, err1 := invalidDescs(s.fd)
	for range 1 + n/leastBudget {
		s.call()
	}
	after, err2 := invalidDescs(s.fd)
	if err1 != nil || err2 != nil || s.tx.consumed() != end {
		return n
	}
	return int(min(after-before, uint64(n)))
}

func pause(d time.Duration) {
	timeout := unix.NsecToTimespec(int64(d))
	unix.Ppoll(nil, &timeout, nil) //nolint:errcheck // whatever ends the wait
}
