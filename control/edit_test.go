package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"uvs/control"
)

// editable notes what it is told and answers with err.
type editable struct {
	control.Director // nil: not asked here

	edits  []control.Edit
	sysctl [2]string
	err    error
}

func (e *editable) Edit(_ context.Context, edits []control.Edit) error {
	e.edits = edits
	return e.err
}

func (e *editable) Reload(_ context.Context, how control.Reloading) (control.Reloaded, error) {
	if how.DryRun {
		return control.Reloaded{Changes: []string{"server 10.1.0.11:80 would be added"}}, e.err
	}
	return control.Reloaded{Changes: []string{"server 10.1.0.11:80 added"}, Notes: []string{"a.conf:1:1: a note"}}, e.err
}

func (e *editable) Sysctls(context.Context) ([]control.Sysctl, error) {
	return []control.Sysctl{{Name: "sloppy_tcp", Value: "1", Default: "0"}, {Name: "sync_ports", Value: "1", Default: "1", Unserved: "no sync"}}, e.err
}

func (e *editable) SetSysctl(_ context.Context, name, value string) error {
	e.sysctl = [2]string{name, value}
	return e.err
}

// fullEdits hold every field that an edit may set.
func fullEdits() []control.Edit {
	return []control.Edit{
		{Op: control.AddService, Service: control.Service{
			Protocol: control.SCTP, Address: netip.MustParseAddr("2001:db8::10"), Port: 80, Scheduler: "mh",
			Flags: []string{"mh-fallback", "mh-port"}, Persistence: 360, Netmask: "64", PersistenceEngine: "sip",
		}},
		{Op: control.EditService, Service: control.Service{Fwmark: 7, IPv6: true, Scheduler: "rr", OnePacket: true}},
		{Op: control.AddServer, Service: control.Service{Fwmark: 7, IPv6: true}, Server: control.Server{
			Address: netip.MustParseAddr("198.51.100.11"), Port: 8080, Method: control.TUN, Weight: 65536,
			Tunnel: &control.Tunnel{Type: "gue", Port: 6080, Checksum: "remcsum"}, UpperThreshold: 1<<31 - 1, LowerThreshold: 1,
		}},
		{Op: control.SetTimeouts, Timeouts: control.Timeouts{TCP: 2678400, UDP: 1}},
		{Op: control.ZeroAll},
	}
}

func TestEditRoundTrip(t *testing.T) {
	d := &editable{}
	want := fullEdits()
	if err := control.Dial(serve(t, d)).Edit(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, d.edits, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("edits changed on their way (-sent +received):\n%s", diff)
	}
}

func TestEditWhenRefused(t *testing.T) {
	want := &control.EditError{Index: 2, Code: control.CodeExists, Message: "server 10.1.0.11:80 is there already"}
	err := control.Dial(serve(t, &editable{err: fmt.Errorf("edit: %w", want)})).Edit(t.Context(), fullEdits())
	var got *control.EditError
	if !errors.As(err, &got) || *got != *want {
		t.Errorf("got %#v, want %#v", err, want)
	}
	if code := control.CodeOf(err); code != control.CodeExists {
		t.Errorf("code %q, want %q", code, control.CodeExists)
	}
	other := control.Dial(serve(t, &editable{err: errors.New("stopping")})).Edit(t.Context(), nil)
	if other == nil || other.Error() != "stopping" || control.CodeOf(other) != "" {
		t.Errorf("got %v, want an error without a code", other)
	}
	if err := control.Dial(t.TempDir()).Edit(t.Context(), nil); !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("got %v, want ErrNotRunning", err)
	}
}

// TestEditSizes sends a whole site at once, and more than there may be.
func TestEditSizes(t *testing.T) {
	d := &editable{}
	c := control.Dial(serve(t, d))
	edits := make([]control.Edit, 10_000)
	for i := range edits {
		edits[i] = fullEdits()[2]
	}
	if err := c.Edit(t.Context(), edits); err != nil || len(d.edits) != len(edits) {
		t.Errorf("%d edits: error %v, %d came", len(edits), err, len(d.edits))
	}
	d.edits = nil
	edits[0].Service.Scheduler = strings.Repeat("x", 16<<20)
	err := c.Edit(t.Context(), edits)
	if err == nil || err.Error() != "/v1/edits: more than 16777216 bytes at once" || d.edits != nil {
		t.Errorf("more than 16 MiB: error %v, %d came", err, len(d.edits))
	}
	if err := c.SetSysctl(t.Context(), "sloppy_tcp", strings.Repeat("1", 64<<10)); err == nil || err.Error() != "/v1/sysctls: more than 65536 bytes at once" {
		t.Errorf("a setting of 64 KiB: error %v", err)
	}
}

func TestReloadAndSysctls(t *testing.T) {
	d := &editable{}
	c := control.Dial(serve(t, d))
	for _, how := range []control.Reloading{{}, {DryRun: true}} {
		reloaded, err := c.Reload(t.Context(), how)
		if want, _ := d.Reload(t.Context(), how); err != nil || !cmp.Equal(reloaded, want) {
			t.Errorf("reload %+v: got %+v, %v, want %+v", how, reloaded, err, want)
		}
	}
	list, err := c.Sysctls(t.Context())
	if want, _ := d.Sysctls(t.Context()); err != nil || !cmp.Equal(list, want) {
		t.Errorf("settings: got %+v, %v, want %+v", list, err, want)
	}
	if err := c.SetSysctl(t.Context(), "sloppy_tcp", "1"); err != nil || d.sysctl != [2]string{"sloppy_tcp", "1"} {
		t.Errorf("set: error %v, director was told %q", err, d.sysctl)
	}
	d.err = errors.New(`sloppy_tcp may be 0 or 1, not "2"`)
	if err := c.SetSysctl(t.Context(), "sloppy_tcp", "2"); err == nil || err.Error() != d.err.Error() {
		t.Errorf("set: error %v, want the director's", err)
	}
}

func TestDocumentsThatAreRefused(t *testing.T) {
	tests := []struct {
		name, method, path, body string
		wantStatus               int
		wantError                string
	}{
		{"unknown field", "POST", "/v1/edits", `{"edits":[],"atomic":true}`, 400, `/v1/edits: json: unknown field "atomic"`},
		{"unknown field inside", "POST", "/v1/edits", `{"edits":[{"op":"clear","when":1}]}`, 400, `/v1/edits: json: unknown field "when"`},
		{"wrong type", "POST", "/v1/edits", `{"edits":[{"op":"add_service","service":{"port":65536}}]}`, 400, "/v1/edits: edits.service.port cannot be number 65536"},
		{"no document", "POST", "/v1/edits", "", 400, "/v1/edits: EOF"},
		{"half a document", "POST", "/v1/edits", `{"edits":[`, 400, "/v1/edits: unexpected EOF"},
		{"two documents", "POST", "/v1/edits", `{"edits":[]}{}`, 400, "/v1/edits: more than one document"},
		{"rubbish behind", "POST", "/v1/edits", `{"edits":[]}x`, 400, "/v1/edits: invalid character 'x' looking for beginning of value"},
		{"edits read", "GET", "/v1/edits", "", 405, "/v1/edits answers POST, not GET"},
		{"settings deleted", "DELETE", "/v1/sysctls", "", 405, "/v1/sysctls answers GET and POST, not DELETE"},
		{"reload with words", "POST", "/v1/reload", `{"file":"x"}`, 400, `/v1/reload: json: unknown field "file"`},
	}
	d := &editable{}
	runDir := serve(t, d)
	client := http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return net.Dial("unix", filepath.Join(runDir, control.SocketName))
		},
		DisableKeepAlives: true,
	}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://uvs"+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			status, text := errorOf(t, resp)
			if status != tt.wantStatus || text != tt.wantError || d.edits != nil {
				t.Errorf("got  %d %s\nwant %d %s", status, text, tt.wantStatus, tt.wantError)
			}
		})
	}
}

// errorOf returns the status and the error that an answer holds.
func errorOf(t *testing.T, resp *http.Response) (int, string) {
	t.Helper()
	var body struct {
		Error string `json:"error"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		t.Error(err)
	}
	return resp.StatusCode, body.Error
}
