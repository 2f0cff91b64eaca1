package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"syscall"
)

// DefaultRunDir is the run directory unless --run-dir names another.
const DefaultRunDir = "/run/uvs"

// ErrNotRunning reports that no director answers in the run directory.
var ErrNotRunning = errors.New("no uvs is running")

// Client asks the director of one run directory. It is itself a Director, and safe
// for use by many goroutines. It holds no connection between calls, so there is
// nothing to close.
type Client struct {
	runDir string
	http   http.Client
}

var _ Director = (*Client)(nil)

// Dial returns a client for the director that uses runDir. It connects on each
// call, so a director that is not there is noticed only then: the calls return an
// error that wraps ErrNotRunning.
func Dial(runDir string) *Client {
	path := filepath.Join(runDir, SocketName)
	dialer := net.Dialer{Timeout: requestTimeout}
	return &Client{runDir: runDir, http: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
		DisableKeepAlives:     true,
		ResponseHeaderTimeout: writeTimeout,
	}}}
}

// Status asks for the director's state.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return ask[Status](ctx, c, statusPath)
}

// Services asks for the service table.
func (c *Client) Services(ctx context.Context) (ServiceList, error) {
	return ask[ServiceList](ctx, c, servicesPath)
}

// Connections passes every connection to yield while they arrive. Returning an
// error from yield hangs up and returns that error.
func (c *Client) Connections(ctx context.Context, yield func(Connection) error) error {
	body, err := c.get(ctx, connectionsPath)
	if err != nil {
		return err
	}
	defer body.Close()
	dec := json.NewDecoder(body)
	for {
		var line struct {
			Connection
			errorBody
		}
		if err := dec.Decode(&line); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("connections from uvs in %s: %w", c.runDir, err)
		}
		if line.Error != "" {
			return errors.New(line.Error)
		}
		if err := yield(line.Connection); err != nil {
			return err
		}
	}
}

// Edit asks for a list of changes of the service table.
func (c *Client) Edit(ctx context.Context, edits []Edit) error {
	_, err := tell[struct{}](ctx, c, editsPath, editsBody{edits})
	return err
}

// Reload asks the director to read its configuration again.
func (c *Client) Reload(ctx context.Context, how Reloading) (Reloaded, error) {
	return tell[Reloaded](ctx, c, reloadPath, how)
}

// Sysctls asks for IPVS's settings.
func (c *Client) Sysctls(ctx context.Context) ([]Sysctl, error) {
	return ask[[]Sysctl](ctx, c, sysctlsPath)
}

// SetSysctl asks for a change of one of them.
func (c *Client) SetSysctl(ctx context.Context, name, value string) error {
	_, err := tell[struct{}](ctx, c, sysctlsPath, sysctlBody{name, value})
	return err
}

// tell sends one JSON document and reads another.
func tell[T any](ctx context.Context, c *Client, path string, in any) (v T, err error) {
	b, err := json.Marshal(in)
	if err != nil {
		return v, err
	}
	body, err := c.do(ctx, http.MethodPost, path, bytes.NewReader(b))
	if err != nil {
		return v, err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(&v); err != nil {
		return v, fmt.Errorf("%s from uvs in %s: %w", path, c.runDir, err)
	}
	return v, nil
}

// ask reads one JSON document.
func ask[T any](ctx context.Context, c *Client, path string) (v T, err error) {
	body, err := c.get(ctx, path)
	if err != nil {
		return v, err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(&v); err != nil {
		return v, fmt.Errorf("%s from uvs in %s: %w", path, c.runDir, err)
	}
	return v, nil
}

// get returns the body of a 200 answer, which the caller closes, and the error of
// any other.
func (c *Client) get(ctx context.Context, path string) (io.ReadCloser, error) {
	return c.do(ctx, http.MethodGet, path, nil)
}

func (c *Client) do(ctx context.Context, method, path string, in io.Reader) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://uvs"+path, in)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	var e errorBody
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBodyBytes)).Decode(&e); err != nil || e.Error == "" {
		return nil, fmt.Errorf("uvs in %s answers %s to %s: is it an older version?", c.runDir, resp.Status, path)
	}
	if e.Edit != nil {
		return nil, e.Edit
	}
	return nil, errors.New(e.Error)
}

// explain turns a failed request into what the operator can do about it.
func (c *Client) explain(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "dial" {
		return fmt.Errorf("uvs in %s: %w", c.runDir, err)
	}
	var cause error = op
	var errno syscall.Errno
	if errors.As(op, &errno) {
		cause = errno
	}
	path := filepath.Join(c.runDir, SocketName)
	switch cause = (&fs.PathError{Op: "connect", Path: path, Err: cause}); {
	case errors.Is(cause, fs.ErrNotExist), errors.Is(cause, syscall.ECONNREFUSED):
		return fmt.Errorf("%w with run directory %s (%w); start it with `uvs run -f FILE`, or name its directory with --run-dir",
			ErrNotRunning, c.runDir, cause)
	case errors.Is(cause, fs.ErrPermission):
		return fmt.Errorf("%w: uvs answers only root and the user that it runs as", cause)
	}
	return cause
}
