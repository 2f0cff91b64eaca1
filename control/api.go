package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// What a client may ask of the server's patience and memory. Requests are a line
// and a few headers; only the answer to /v1/connections is long, and its limit is
// on each write.
const (
	maxHeaderBytes = 16 << 10
	maxBodyBytes   = 64 << 10
	// A list of edits may set up a whole site at once. One edit has less than 1 KiB.
	maxEditsBytes  = 16 << 20
	requestTimeout = 5 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = time.Minute
)

// Serve answers the control API on l from d until ctx is done, and closes l, which
// removes the socket. The context of requests under way ends with ctx, and Serve
// waits for them; a client that does not read is cut off after a second. Serve
// returns nil when it was ctx that ended it.
func Serve(ctx context.Context, l *Listener, d Director) error {
	return (&api{director: d, uid: os.Geteuid(), peerUID: peerUID}).serve(ctx, l)
}

// api is what the handlers share. It does not change.
type api struct {
	director Director
	uid      int // the user we run as
	peerUID  func(*net.UnixConn) (int, error)
}

func (a *api) serve(ctx context.Context, l *Listener) error {
	var conns sync.WaitGroup
	hs := &http.Server{
		Handler:           a.handler(),
		ReadHeaderTimeout: requestTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(io.Discard, "", 0),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       a.identify,
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				conns.Add(1)
			case http.StateClosed:
				conns.Done()
			}
		},
	}
	served := make(chan error, 1)
	go func() { served <- hs.Serve(l.socket) }()

	var err error
	select {
	case <-ctx.Done():
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		if hs.Shutdown(grace) != nil {
			hs.Close()
		}
		cancel()
		<-served //nolint:errcheck // http.ErrServerClosed
	case err = <-served:
		hs.Close()
	}
	conns.Wait()
	if err = errors.Join(err, l.Close()); err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

// peerKey is the context key of a connection's peer.
type peerKey struct{}

// peer is who connected, or why that is not known.
type peer struct {
	uid int
	err error
}

// identify notes the peer of a new connection for the handlers.
func (a *api) identify(ctx context.Context, c net.Conn) context.Context {
	var p peer
	if uc, ok := c.(*net.UnixConn); ok {
		p.uid, p.err = a.peerUID(uc)
	} else {
		p.err = errors.ErrUnsupported
	}
	return context.WithValue(ctx, peerKey{}, p)
}

// authorize refuses every peer but root and the user we run as.
func (a *api) authorize(ctx context.Context) error {
	p, ok := ctx.Value(peerKey{}).(peer)
	switch {
	case !ok:
		return errors.New("permission denied: the calling user is not known")
	case p.err != nil:
		return fmt.Errorf("permission denied: the calling user is not known: %w", p.err)
	case p.uid == 0 || p.uid == a.uid:
		return nil
	case a.uid == 0:
		return fmt.Errorf("permission denied: this uvs answers root, not uid %d", p.uid)
	}
	return fmt.Errorf("permission denied: this uvs answers root and uid %d, not uid %d", a.uid, p.uid)
}
