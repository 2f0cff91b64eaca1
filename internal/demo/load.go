package demo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"uvs/internal/netlab"
)

// A request is one GET on a connection of its own.
type request struct {
	start, end time.Time
	server     string // who answered
	client     string // whom the server saw
	err        error  // then nobody answered
}

const (
	loadWorkers    = 4
	loadInterval   = 10 * time.Millisecond // between the requests of one worker
	requestTimeout = 2 * time.Second
)

// newClient returns an HTTP client that makes a new connection from the host for every
// request.
func newClient(from *netlab.Host) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives:  true,
		DisableCompression: true,
		DialContext:        from.DialContext,
		ReadBufferSize:     64 << 10,
	}}
}

// get asks once.
func get(ctx context.Context, client *http.Client, url string) request {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	r := request{start: time.Now()}
	body, err := open(ctx, client, url)
	if err == nil {
		var text []byte
		text, err = io.ReadAll(body)
		_ = body.Close() // it was read
		r.server, r.client, _ = strings.Cut(strings.TrimSpace(string(text)), " ")
	}
	r.err, r.end = err, time.Now()
	return r
}

// open asks and returns the body of a good answer.
func open(ctx context.Context, client *http.Client, url string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return resp.Body, nil
}

// A load asks for one URL again and again from some goroutines. Safe for use by many
// goroutines.
type load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu       sync.Mutex // guards requests
	requests []request  // in the order of their ends, nearly
}

// startLoad asks some hundred times a second until stop or the end of ctx.
func startLoad(ctx context.Context, from *netlab.Host, url string) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{cancel: cancel}
	client := newClient(from)
	for range loadWorkers {
		l.done.Go(func() { l.run(ctx, client, url) })
	}
	return l
}

const (
	floodInterval = 5 * time.Millisecond
	floodLimit    = 1000 // requests under way
)

// startFlood begins 200 requests a second until stop or the end of ctx, whether those before
// are answered or not: who waits for one does not keep others from being answered.
func startFlood(ctx context.Context, from *netlab.Host, url string) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{cancel: cancel}
	client := newClient(from)
	slots := make(chan struct{}, floodLimit)
	l.done.Go(func() {
		pace := time.NewTicker(floodInterval)
		defer pace.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-pace.C:
			}
			slots <- struct{}{}
			l.done.Go(func() {
				defer func() { <-slots }()
				l.add(get(context.WithoutCancel(ctx), client, url))
			})
		}
	})
	return l
}

func (l *load) add(r request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests = append(l.requests, r)
}

func (l *load) run(ctx context.Context, client *http.Client, url string) {
	pace := time.NewTicker(loadInterval)
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		// One that is under way when the load ends is not broken off.
		l.add(get(context.WithoutCancel(ctx), client, url))
	}
}

// since returns the requests that ended after the first n.
func (l *load) since(n int) []request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]request(nil), l.requests[n:]...)
}

// stop ends the load and waits for what is under way.
func (l *load) stop() {
	l.cancel()
	l.done.Wait()
}

// A transfer is how much one connection carried.
type transfer struct {
	bytes int64
	took  time.Duration
	err   error
}

// gbits returns the rate in Gbit/s of payload.
func (t transfer) gbits() float64 {
	if t.took <= 0 {
		return 0
	}
	return float64(t.bytes) * 8 / t.took.Seconds() / 1e9
}

// download reads from one connection for a time.
func download(ctx context.Context, from *netlab.Host, url string, limit time.Duration) transfer {
	ctx, cancel := context.WithTimeout(ctx, limit+requestTimeout)
	defer cancel()
	var t transfer
	body, err := open(ctx, newClient(from), url)
	if err != nil {
		t.err = err
		return t
	}
	defer body.Close()
	buf := make([]byte, 1<<20)
	for start := time.Now(); t.took < limit; t.took = time.Since(start) {
		n, err := body.Read(buf)
		t.bytes += int64(n)
		if err != nil {
			t.err = err
			break
		}
	}
	return t
}
