package health

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"uvs/internal/mono"
)

// A Step is one probe to do: a check, and for HTTP the index of the url to ask for. It
// is read only.
type Step struct {
	Check *Check
	URL   int
}

// A Prober does probes. A [Set] calls it from many goroutines at a time.
type Prober interface {
	// Probe does one probe and returns what came of it. It returns soon after ctx is
	// done, and in bounded time whatever the server does.
	Probe(ctx context.Context, step Step) Outcome
}

// A Verdict is what a probe says about a server.
type Verdict uint8

// The verdicts. The zero Verdict is Failure.
const (
	Failure     Verdict = iota
	Success             // the server did all that was asked
	Rescheduled         // our own side could not probe: says nothing about the server
)

// A Reason is the stage at which a probe ended, in keepalived's terms.
type Reason uint8

// The reasons. The zero Reason belongs to Success.
const (
	NoReason Reason = iota
	ConnectTimeout
	ConnectFailed
	NetworkUnreachable
	WriteTimeout
	WriteFailed
	AnswerTimeout // no first byte
	ReadTimeout   // no further byte, or no end
	ReadFailed
	NoData // the answer ended, or grew too long, before its header did
	StatusMismatch
	DigestMismatch
	RegexMismatch
	HandshakeFailed // TLS
	BadAnswer       // a code, a name server's error, a datagram that does not fit
	ExitStatus      // a program's
	Killed          // a program that took too long, or was ended
	BindFailed      // a source address, device or mark that cannot be had
	NoSocket        // out of descriptors or memory
	Canceled        // the caller lost interest
)

// String returns the words with which keepalived 2.2.7 begins the line
// "… server [10.0.0.1]:tcp:80.", blanks included.
func (r Reason) String() string {
	switch r {
	case ConnectTimeout:
		return "Timeout connecting"
	case ConnectFailed:
		return "Connection failed"
	case NetworkUnreachable:
		return "HTTP_CHECK - network unreachable"
	case WriteTimeout:
		return "Timeout WEB write"
	case WriteFailed:
		return "Cannot send get request to"
	case AnswerTimeout:
		return "Timeout WEB read"
	case ReadTimeout:
		return "Timeout HTTP read"
	case ReadFailed:
		return "Read error with"
	case NoData:
		return "Read, no data received from "
	case StatusMismatch:
		return "HTTP status code error to"
	case DigestMismatch:
		return "MD5 digest error to"
	case RegexMismatch:
		return "Regex match failure to"
	case HandshakeFailed:
		return "SSL handshake/communication error connecting to"
	case BadAnswer:
		return "bad answer of"
	case ExitStatus:
		return "exited with status"
	case Killed:
		return "timed out"
	case BindFailed:
		return "socket bind failed"
	case NoSocket:
		return "fail to create socket"
	case Canceled:
		return "canceled"
	}
	return "success"
}

// An Outcome is the result of a probe.
type Outcome struct {
	Verdict Verdict
	Reason  Reason
	Err     error // what was met; nil for Success

	// Announced is the Content-Length of an answer whose status code was good, and
	// Received the number of body bytes that came. Both are 0 otherwise, and when
	// no length was announced.
	Announced, Received int64

	// Code is a program's exit status, the signal that ended it, or a name server's error.
	Code int
	// Began is when a program was started, whose period counts from then; 0 for others.
	Began mono.Time
}

// Detail returns what the probe met in a few words, "" for Success.
func (o Outcome) Detail() string {
	switch {
	case o.Verdict == Success:
		return ""
	case o.Err == nil:
		return o.Reason.String()
	}
	return o.Err.Error()
}

func failure(r Reason, err error) Outcome { return Outcome{Reason: r, Err: err} }

// NetProber probes over the network, from the namespace of the calling process. The
// zero NetProber is ready, but for Misc and VIP; it is safe for use by many goroutines.
type NetProber struct {
	// Run runs the program of a Misc checker and waits for its end, after p.Timeout by force:
	// SIGTERM, and SIGKILL two seconds later. It returns soon after ctx is done.
	Run func(ctx context.Context, p *Program) (Exit, error)
	// VIP does the probe of a VIP checker, until ctx is done at the latest, which then counts as the server's silence.
	VIP func(ctx context.Context, c *Check) Outcome
	// Client returns the settings of a client with an Identity, which nobody changes; nil shows
	// no certificate.
	Client func(Identity) (*tls.Config, error)
}

// An Exit is how a program ended. The error of Run is that it could not be started.
type Exit struct {
	Status   int  // exit status
	Signal   int  // that ended it, 0 if it exited
	TimedOut bool // it was ended
}

// Probe implements [Prober]. Each stage is bounded by the check's ConnectTimeout, and
// an answer as a whole by the greater of twelve of those and DelayLoop.
func (n NetProber) Probe(ctx context.Context, step Step) Outcome {
	switch step.Check.Kind {
	case HTTP:
		return n.probeHTTP(ctx, step)
	case SMTP:
		return probeSMTP(ctx, step.Check)
	case DNS:
		return probeDNS(ctx, step.Check)
	case UDP:
		return probeUDP(ctx, step.Check)
	case Ping:
		return probePing(ctx, step.Check)
	case Misc:
		return n.probeMisc(ctx, step.Check)
	case VIP:
		return n.probeVIP(ctx, step.Check)
	}
	return probeTCP(ctx, step.Check)
}

// errLocal marks what went wrong on our own side before the first packet.
type errLocal struct{ error }

func (e errLocal) Unwrap() error { return e.error }

// dial connects to the target within one stage. Without a connection the outcome says
// why; with one it is Success.
func dial(ctx context.Context, c *Check) (net.Conn, Outcome) { return dialNetwork(ctx, c, "tcp") }

// dialNetwork is dial for "tcp" or "udp".
func dialNetwork(ctx context.Context, c *Check, network string) (net.Conn, Outcome) {
	d := net.Dialer{
		Timeout:   c.stageTimeout(),
		KeepAlive: -1,
		Control:   socketControl(c),
	}
	if c.BindAddr.IsValid() || c.BindPort != 0 {
		from := c.BindAddr
		if !from.IsValid() {
			from = netip.IPv4Unspecified()
			if c.Target.Addr().Unmap().Is6() {
				from = netip.IPv6Unspecified()
			}
		}
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, c.BindPort))
		if network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, c.BindPort))
		}
	}
	conn, err := d.DialContext(ctx, network, c.Target.String())
	if err == nil {
		return conn, Outcome{Verdict: Success}
	}
	return nil, dialOutcome(ctx, err)
}

// dialOutcome sorts the errors of a connect. What our own side cannot do says nothing
// about the server; keepalived draws the same line in socket_bind_connect.
func dialOutcome(ctx context.Context, err error) Outcome {
	short := shorten(err)
	var call *os.SyscallError
	var local errLocal
	var family *net.AddrError // a source address of the other family
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return Outcome{Verdict: Rescheduled, Reason: Canceled, Err: ctx.Err()}
	case isAny(err, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM):
		return Outcome{Verdict: Rescheduled, Reason: NoSocket, Err: short}
	case errors.As(err, &local), errors.As(err, &family),
		errors.As(err, &call) && (call.Syscall == "bind" || call.Syscall == "setsockopt"),
		isAny(err, syscall.EADDRNOTAVAIL, syscall.EADDRINUSE, syscall.EINVAL, syscall.EPERM):
		return Outcome{Verdict: Rescheduled, Reason: BindFailed, Err: short}
	case errors.As(err, &call) && call.Syscall == "socket":
		return Outcome{Verdict: Rescheduled, Reason: NoSocket, Err: short}
	case errors.As(err, &timeout) && timeout.Timeout():
		return failure(ConnectTimeout, errors.New("connect: timeout"))
	case isAny(err, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN):
		return failure(NetworkUnreachable, short)
	}
	return failure(ConnectFailed, short)
}

func isAny(err error, errnos ...syscall.Errno) bool {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return false
	}
	for _, e := range errnos {
		if errno == e {
			return true
		}
	}
	return false
}

// shorten takes the addresses off a net error: whoever reads it knows them.
func shorten(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
