package mail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// DefaultTimeout is keepalived's smtp_connect_timeout.
	DefaultTimeout = 30 * time.Second
	// DefaultMax is how many messages wait if Options does not say.
	DefaultMax = 256
	// StopGrace is how long messages may still be sent when the Queue ends.
	StopGrace = time.Second
	// answerMax bounds what a server may say in one conversation.
	answerMax = 64 << 10
)

// Options say where mail goes. They are those of global_defs.
type Options struct {
	// Server is host and port of smtp_server.
	Server string
	// From is the sender, perhaps as "Name <user@host>". To are the receivers, at least one.
	From string
	To   []string
	// Helo is the name to greet with, "" for localhost.
	Helo string
	// Timeout bounds the connection and each wait for an answer; not positive: DefaultTimeout.
	Timeout time.Duration
	// Digest is how long messages are collected into one, counted from the first; 0 sends each alone, as keepalived does.
	Digest time.Duration
	// Max is how many messages wait; not positive: DefaultMax.
	Max int
	// Dial connects, nil is the system's way.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// OnEvent is told what became of each message, from the goroutine of Run, and of those that found the queue full from
	// within Send.
	OnEvent func(Event)
}

// An Event is what became of a message.
type Event struct {
	Message Message
	// Err is nil when the server has taken the message for at least one receiver.
	Err error
	// Refused are receivers that the server would not take, while it took others.
	Refused []string
	// First says that the message before had another fate: who logs only these logs each trouble once, and its end.
	First bool
	// Failed is how many messages were not taken by a server so far, those that found no room included.
	Failed uint64
}

// String returns a log line.
func (e Event) String() string {
	switch {
	case e.Err != nil:
		return fmt.Sprintf("mail %q was not sent: %v", e.Message.Subject, e.Err)
	case len(e.Refused) > 0:
		return fmt.Sprintf("mail %q was not taken for %s", e.Message.Subject, strings.Join(e.Refused, ", "))
	}
	return "SMTP alert successfully sent."
}

// ErrFull is the Err of a message that found no room.
var ErrFull = errors.New("too many mails wait to be sent")

// A Queue sends messages. Safe for use by many goroutines.
type Queue struct {
	opts    Options
	waiting chan dated
	failed  atomic.Uint64
	full    atomic.Bool // and said so
}

// A dated message is one with the time that its header will name.
type dated struct {
	Message
	at   time.Time
	more []string // lines of the body after the first
}

// NewQueue returns a Queue that sends nothing before its Run.
func NewQueue(o Options) *Queue {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Max <= 0 {
		o.Max = DefaultMax
	}
	if o.Helo == "" {
		o.Helo = "localhost"
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.OnEvent == nil {
		o.OnEvent = func(Event) {}
	}
	return &Queue{opts: o, waiting: make(chan dated, o.Max)}
}

// Send puts a message into the queue and never waits.
func (q *Queue) Send(m Message) {
	select {
	case q.waiting <- dated{Message: m, at: time.Now()}:
		q.full.Store(false)
	default:
		q.opts.OnEvent(Event{Message: m, Err: ErrFull, First: !q.full.Swap(true), Failed: q.failed.Add(1)})
	}
}

// Run sends until ctx ends, and then for up to StopGrace what still waits. It returns nil. It may be called once.
func (q *Queue) Run(ctx context.Context) error {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(StopGrace, cancel) })
	defer stop()
	trouble := false
	for {
		var m dated
		select {
		case m = <-q.waiting:
		default:
			select {
			case m = <-q.waiting:
			case <-ctx.Done():
				return nil
			}
		}
		if q.opts.Digest > 0 {
			m = q.collect(ctx, m)
		}
		e := Event{Message: m.Message}
		e.Refused, e.Err = q.send(sending, m)
		bad := e.Err != nil || len(e.Refused) > 0
		e.First, trouble = bad != trouble, bad
		if e.Err != nil {
			q.failed.Add(1)
		}
		e.Failed = q.failed.Load()
		q.opts.OnEvent(e)
	}
}

// collect waits for what else there is to tell, until the time of a digest is over or ctx ends, and puts it together.
func (q *Queue) collect(ctx context.Context, first dated) dated {
	list := []dated{first}
	timer := time.NewTimer(q.opts.Digest)
	defer timer.Stop()
	for {
		select {
		case m := <-q.waiting:
			list = append(list, m)
		case <-timer.C:
			return digest(list)
		case <-ctx.Done():
			for {
				select {
				case m := <-q.waiting:
					list = append(list, m)
				default:
					return digest(list)
				}
			}
		}
	}
}

// send delivers one message.
func (q *Queue) send(ctx context.Context, m dated) (refused []string, err error) {
	connecting, cancel := context.WithTimeout(ctx, q.opts.Timeout)
	c, err := q.opts.Dial(connecting, "tcp", q.opts.Server)
	cancel()
	if err != nil {
		return nil, fmt.Errorf("connect to SMTP server: %w", err)
	}
	defer c.Close() //nolint:errcheck // what counts was answered before
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	t := talk{textproto.NewConn(&patient{Conn: c, r: io.LimitReader(c, answerMax), timeout: q.opts.Timeout}), q.opts.Server}
	refused, err = t.deliver(&q.opts, m)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w (we stop)", err)
	}
	return refused, err
}

// A talk is a conversation with a server.
type talk struct {
	conn   *textproto.Conn
	server string
}

// deliver greets the server and gives it a message.
func (t talk) deliver(o *Options, m dated) (refused []string, err error) {
	const ready, done, goAhead = 220, 250, 354
	if err := t.expect("greeting", ready); err != nil {
		return nil, err
	}
	if err := t.say("HELO", done, "HELO %s", oneLine(o.Helo)); err != nil {
		return nil, err
	}
	if err := t.say("MAIL", done, "MAIL FROM:<%s>", address(o.From)); err != nil {
		return nil, err
	}
	var last error
	for _, to := range o.To {
		var answer *textproto.Error
		err := t.say("RCPT", done, "RCPT TO:<%s>", address(to))
		switch {
		case err == nil:
		case errors.As(err, &answer): // the server's word; others may be welcome
			refused, last = append(refused, to), err
		default:
			return nil, err
		}
	}
	if len(refused) == len(o.To) {
		return nil, last
	}
	if err := t.say("DATA", goAhead, "DATA"); err != nil {
		return nil, err
	}
	if err := t.say("message", done, "%s.", m.text(o.From, o.To)); err != nil {
		return nil, err
	}
	_ = t.say("QUIT", 0, "QUIT") // the message is the server's now
	return refused, nil
}

// say sends a line and waits for its answer.
func (t talk) say(what string, code int, format string, args ...any) error {
	if err := t.conn.PrintfLine(format, args...); err != nil {
		return fmt.Errorf("SMTP server %s, %s: %w", t.server, what, err)
	}
	return t.expect(what, code)
}

// expect waits for an answer; code 0 takes any.
func (t talk) expect(what string, code int) error {
	if _, _, err := t.conn.ReadResponse(code); err != nil {
		return fmt.Errorf("SMTP server %s, %s: %w", t.server, what, err)
	}
	return nil
}

// A patient connection waits for each byte from the other side, or for room for ours, as long as timeout and no longer.
type patient struct {
	net.Conn
	r       io.Reader // of Conn, bounded
	timeout time.Duration
}

// Read reads with a new deadline.
func (p *patient) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(p.timeout)); err != nil {
		return 0, err
	}
	return p.r.Read(b)
}

// Write writes with a new deadline.
func (p *patient) Write(b []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(p.timeout)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}
