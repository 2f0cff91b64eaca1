package afpacket

import (
	"encoding/binary"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"uvs/forwarding"
	"uvs/internal/wire"
)

// sendFrames is the longest vector for sendmmsg and recvmmsg.
const sendFrames = 64

// A Send that finds no room waits for some at most roomWaits times, roomWait each: long
// enough for a device to work off some frames, short enough for the worker's other
// interfaces not to notice.
const (
	roomWaits = 2
	roomWait  = 50 * time.Microsecond
)

// Send transmits frames with sendmmsg. A frame that the kernel refuses is skipped, the
// others go: one that is too long (EMSGSIZE), say. When the send buffer is full (EAGAIN),
// or the device's queue is (ENOBUFS), Send waits a little; if that does not help, what
// finds no room is dropped as by a full queue of the device, and the next Send does not
// wait either: one congested interface must not stall all others of the worker.
func (p *Port) Send(fs []forwarding.Frame) (sent int, err error) {
	waits := roomWaits
	if p.crowded {
		waits = 0
	}
	p.crowded = false
	for len(fs) > 0 {
		n := min(len(fs), sendFrames)
		for i := range fs[:n] {
			p.sender.set(i, &fs[i])
		}
		for at := 0; at < n; {
			k, errno := p.sender.send(p.out, at, n)
			at += k
			sent += k
			noRoom := errno == unix.EAGAIN || errno == unix.ENOBUFS
			switch {
			case errno == 0 || errno == unix.EINTR:
				continue
			case noRoom && waits > 0:
				waits--
				p.awaitRoom()
				continue
			}
			lost := 1
			if hopeless(errno) {
				lost = n - at
			}
			p.crowded = p.crowded || noRoom
			err = os.NewSyscallError("sendmmsg", errno)
			p.refused(fs[at:at+lost], errno)
			at += lost
		}
		fs = fs[n:]
	}
	p.sent.Add(uint64(sent))
	return sent, err
}

// fill writes a tag, and a virtio_net_hdr whose offsets count from before it.
func (t *tagged) fill(vnet []byte, tag forwarding.VLANTag) []byte {
	binary.BigEndian.PutUint16(t.tag[0:], tag.TPID)
	binary.BigEndian.PutUint16(t.tag[2:], tag.TCI)
	copy(t.vnet[:], vnet)
	forwarding.VnetHeader(t.vnet[:]).Shift(wire.VLANLen)
	return t.vnet[:]
}

// hopeless reports whether what a frame met will meet those behind it as well: a full send
// buffer, or an interface that is down or gone.
func hopeless(errno unix.Errno) bool {
	switch errno {
	case unix.EAGAIN, unix.ENETDOWN, unix.ENXIO, unix.ENODEV, unix.EBADF:
		return true
	}
	return false
}

// refused marks and counts frames that the kernel did not take.
func (p *Port) refused(fs []forwarding.Frame, errno unix.Errno) {
	for i := range fs {
		fs[i].Refused = true
	}
	p.sendErrors.Add(uint64(len(fs)))
	p.sendError.Store(uint32(errno))
}

// awaitRoom waits until the send buffer has room again, but not for long.
func (p *Port) awaitRoom() {
	fds := [1]unix.PollFd{{Fd: int32(p.out), Events: unix.POLLOUT}}
	timeout := unix.NsecToTimespec(int64(roomWait))
	unix.Ppoll(fds[:], &timeout, nil) //nolint:errcheck // whatever ends the wait, sending is tried again
}
