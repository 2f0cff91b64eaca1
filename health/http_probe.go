package health

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"
)

// probeHTTP asks for one url and reads the answer to its end. No redirect is followed.
func (n NetProber) probeHTTP(ctx context.Context, step Step) Outcome {
	c, u := step.Check, step.Check.url(step.URL)
	over := time.Now().Add(c.probeTimeout())
	secure, err := n.secure(c, u)
	if err != nil {
		return Outcome{Verdict: Rescheduled, Reason: BindFailed, Err: err}
	}
	conn, o := dial(ctx, c)
	if conn == nil {
		return o
	}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		conn.Close() // unblocks the read or write that is under way
		close(closed)
	})
	o = exchange(conn, c, u, secure, over)
	if stop() {
		conn.Close()
	} else {
		<-closed
	}
	if ctx.Err() != nil {
		return Outcome{Verdict: Rescheduled, Reason: Canceled, Err: ctx.Err()}
	}
	return o
}

// exchange sends the request and reads the answer, each stage within its own time. secure is
// for TLS; nil is without.
func exchange(conn net.Conn, c *Check, u URL, secure *tls.Config, over time.Time) Outcome {
	arm := func() error {
		stage := time.Now().Add(c.stageTimeout())
		if stage.After(over) {
			stage = over
		}
		return conn.SetDeadline(stage)
	}
	if err := arm(); err != nil {
		return failure(WriteFailed, shorten(err))
	}
	if secure != nil {
		t := tls.Client(conn, secure)
		if err := t.Handshake(); err != nil {
			return stageOutcome(ConnectTimeout, HandshakeFailed, "TLS handshake", err)
		}
		conn = t
		if err := arm(); err != nil {
			return failure(WriteFailed, shorten(err))
		}
	}
	if _, err := conn.Write(request(c.Protocol, c.Target, u)); err != nil {
		return stageOutcome(WriteTimeout, WriteFailed, "write", err)
	}

	a := newAnswer(&u)
	buf := make([]byte, 4096)
	late := AnswerTimeout
	for {
		if err := arm(); err != nil {
			return failure(ReadFailed, shorten(err))
		}
		n, err := conn.Read(buf)
		if n > 0 {
			late = ReadTimeout
			a.add(buf[:n])
		}
		switch {
		case errors.Is(err, io.EOF), a.overlong(), errors.Is(err, io.ErrUnexpectedEOF) && c.TLS != nil && !u.Strict:
			return a.judge(u)
		case err != nil:
			return stageOutcome(late, ReadFailed, "read", err)
		}
	}
}

// secure returns the settings of a connection for a url, nil for one without TLS.
func (n NetProber) secure(c *Check, u URL) (*tls.Config, error) {
	t := c.TLS
	if t == nil {
		return nil, nil //nolint:nilnil // there are none
	}
	s := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10} //nolint:gosec // as keepalived: whether it answers is the question
	if t.Identity != (Identity{}) && n.Client != nil {
		client, err := n.Client(t.Identity)
		if err != nil {
			return nil, err
		}
		s = client.Clone()
	}
	if t.SNI {
		s.ServerName = t.Name
		if s.ServerName == "" {
			s.ServerName = u.VirtualHost
			if host, _, err := net.SplitHostPort(u.VirtualHost); err == nil {
				s.ServerName = host
			}
		}
	}
	return s, nil
}

// stageOutcome is the failure of a stage: late if its time was over, else broken.
func stageOutcome(late, broken Reason, what string, err error) Outcome {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return failure(late, errors.New(what+": timeout"))
	}
	return failure(broken, shorten(err))
}

// request returns the bytes that keepalived 2.2.7 sends: check/check_http.c,
// request_template.
func request(p Protocol, target netip.AddrPort, u URL) []byte {
	version, connection := "1.0", ""
	if p == HTTP11 {
		version = "1.1"
	}
	if p != HTTP10 {
		connection = "Connection: close\r\n"
	}
	host := u.VirtualHost
	if host == "" {
		host = netip.AddrPortFrom(target.Addr().Unmap().WithZone(""), target.Port()).String()
	}
	return fmt.Appendf(nil, "GET %s HTTP/%s\r\nUser-Agent: KeepAliveClient\r\n%sHost: %s\r\n\r\n",
		u.Path, version, connection, host)
}
