package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// pingLen is the payload of a ping: what it is numbered with.
const pingLen = 8

// endsPriority lets ping and echo run before a generator on the same CPU: what they wait for is
// then the network between them.
const endsPriority = 10

// AnswerWait is how long a ping waits for its answer until it is lost.
const AnswerWait = 200 * time.Millisecond

// An Echo sends each UDP datagram back to whom it came from, until Close.
type Echo struct {
	fd   int
	done chan struct{}
	err  error // read only after done
	once sync.Once
	stop chan struct{}
}

// NewEcho starts an echo on a port of all addresses of the calling thread's network
// namespace, on a thread on the given CPU.
func NewEcho(port uint16, cpu int) (*Echo, error) {
	fd, err := udpSocket(netip.AddrPortFrom(netip.IPv4Unspecified(), port), 20*time.Millisecond)
	if err != nil {
		return nil, err
	}
	e := &Echo{fd: fd, done: make(chan struct{}), stop: make(chan struct{})}
	go func() {
		defer close(e.done)
		e.err = onThread(cpu, endsPriority, e.serve)
	}()
	return e, nil
}

func (e *Echo) serve() error {
	buffer := make([]byte, 64)
	for {
		select {
		case <-e.stop:
			return nil
		default:
		}
		n, from, err := unix.Recvfrom(e.fd, buffer, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("recvfrom", err)
		}
		if err := unix.Sendto(e.fd, buffer[:n], 0, from); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
			return os.NewSyscallError("sendto", err)
		}
	}
}

// Close ends the echo and waits for it.
func (e *Echo) Close() error {
	e.once.Do(func() { close(e.stop) })
	<-e.done
	return errors.Join(e.err, os.NewSyscallError("close", unix.Close(e.fd)))
}

// Pings are round trips.
type Pings struct {
	Times []time.Duration // of the answered ones, in the order they were sent
	Lost  int
}

// PingPong sends numbered UDP datagrams to an echo, one after the other with a pause
// between them, and times each until its answer. The socket is opened in the calling
// thread's network namespace; the thread that sends runs on the given CPU.
func PingPong(ctx context.Context, target netip.AddrPort, cpu int, length, between time.Duration) (Pings, error) {
	fd, err := udpSocket(netip.AddrPortFrom(netip.IPv4Unspecified(), 0), AnswerWait)
	if err != nil {
		return Pings{}, err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(target.Port()), Addr: target.Addr().As4()}); err != nil {
		return Pings{}, os.NewSyscallError("connect", err)
	}
	p := Pings{Times: make([]time.Duration, 0, int(length/max(between, time.Microsecond))+1)}
	err = onThread(cpu, endsPriority, func() error {
		start := time.Now()
		for n := uint64(1); time.Since(start) < length && ctx.Err() == nil; n++ {
			took, err := ping(fd, n)
			switch {
			case errors.Is(err, unix.EAGAIN):
				p.Lost++
			case err != nil:
				return err
			default:
				p.Times = append(p.Times, took)
			}
			pause(between)
		}
		return nil
	})
	return p, err
}

// ping sends one datagram and waits for its own answer; answers to lost ones are late.
func ping(fd int, n uint64) (time.Duration, error) {
	var out, in [pingLen]byte
	binary.BigEndian.PutUint64(out[:], n)
	start := time.Now()
	if _, err := unix.Write(fd, out[:]); err != nil {
		return 0, os.NewSyscallError("write", err)
	}
	for {
		k, err := unix.Read(fd, in[:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("answer to ping %d: %w", n, err)
		}
		if k == pingLen && binary.BigEndian.Uint64(in[:]) == n {
			return time.Since(start), nil
		}
	}
}

// udpSocket opens a socket whose reads end after a while.
func udpSocket(local netip.AddrPort, wait time.Duration) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	limit := unix.NsecToTimeval(int64(wait))
	err = os.NewSyscallError("SO_RCVTIMEO", unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrInet4{Port: int(local.Port()), Addr: local.Addr().As4()}))
	}
	if err != nil {
		_ = unix.Close(fd) // the first error is the one that tells
		return -1, err
	}
	return fd, nil
}
