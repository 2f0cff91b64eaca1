package demo_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"uvs/internal/demo"
)

// TestServe: a real server tells its name and the client's address, and sends as much as
// one reads.
func TestServe(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- demo.Serve(ctx, l, "server7") }()

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	open := func(path string) io.ReadCloser {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return resp.Body
	}
	body := open("/")
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	body.Close()
	if got, want := string(text), "server7 127.0.0.1\n"; got != want {
		t.Errorf("the answer is %q, want %q", got, want)
	}

	body = open("/bulk")
	if n, err := io.CopyN(io.Discard, body, 32<<20); err != nil {
		t.Errorf("the bulk ended after %d bytes: %v", n, err)
	}
	body.Close()

	cancel()
	if err := <-done; err != nil {
		t.Errorf("the server ended with %v", err)
	}
}
