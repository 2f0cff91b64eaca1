package control

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// A recorder is a Director that keeps what it was asked to change, and refuses long lists.
type recorder struct {
	calm
	edits       []Edit
	name, value string
}

func (r *recorder) Edit(_ context.Context, edits []Edit) error {
	r.edits = edits
	if len(edits) > 8 {
		return &EditError{Index: 8, Code: CodeNoMemory}
	}
	return nil
}

func (*recorder) Reload(context.Context, Reloading) (Reloaded, error) {
	return Reloaded{}, errors.New("reload: nothing changed")
}

func (*recorder) Sysctls(context.Context) ([]Sysctl, error) { return nil, nil }

func (r *recorder) SetSysctl(_ context.Context, name, value string) error {
	r.name, r.value = name, value
	return nil
}

// FuzzAPI: whatever a client sends is answered with JSON and a status of the API, a change
// reaches the director only by POST and only if it was understood whole, and what the
// director was told is what a client of ours would send for the same.
func FuzzAPI(f *testing.F) {
	f.Add("GET", statusPath, "")
	f.Add("GET", connectionsPath, "")
	f.Add("DELETE", servicesPath, "")
	f.Add("POST", reloadPath, "{}")
	f.Add("POST", sysctlsPath, `{"name":"sloppy_tcp","value":"1"}`)
	f.Add("POST", editsPath, `{"edits":[{"op":"add_service","service":{"protocol":"tcp","address":"192.0.2.10","port":80,"scheduler":"mh","flags":["mh-port"],"netmask":"255.255.255.0","persistence":300}}]}`)
	f.Add("POST", editsPath, `{"edits":[{"op":"add_server","service":{"fwmark":7,"ipv6":true},"server":{"address":"2001:db8::1%eth0","port":0,"method":"tun","weight":-1,"tunnel":{"type":"gue","port":1,"checksum":"csum"}}}]}`)
	f.Add("POST", editsPath, `{"edits":[{"op":"set_timeouts","timeouts":{"tcp":4294967295}}]} {}`)
	f.Add("POST", editsPath, `{"edits":[{},{},{},{},{},{},{},{},{"op":"clear"}]}`)
	f.Fuzz(func(t *testing.T, method, path, body string) {
		r, err := http.NewRequestWithContext(context.WithValue(t.Context(), peerKey{}, peer{}), method, "http://uvs", strings.NewReader(body))
		if err != nil {
			return // no method of HTTP
		}
		r.URL.Path = path
		d := &recorder{}
		w := httptest.NewRecorder()
		(&api{director: d}).handler().ServeHTTP(w, r)
		switch w.Code {
		case http.StatusOK, http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusConflict, http.StatusInternalServerError:
		case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect: // to the path without dots
			return
		default:
			t.Fatalf("%s %q %q: status %d", method, path, body, w.Code)
		}
		if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %q %q: answered %q", method, path, body, w.Body)
		}
		if (d.edits != nil || d.name != "") && (method != http.MethodPost || w.Code == http.StatusBadRequest) {
			t.Errorf("%s %q %q changed something; status %d", method, path, body, w.Code)
		}
		if d.edits == nil {
			return
		}
		sent, err := json.Marshal(editsBody{d.edits})
		if err != nil {
			t.Fatalf("%q cannot be sent: %v", body, err)
		}
		var again editsBody
		if err := decodeOne(strings.NewReader(string(sent)), &again); err != nil {
			t.Fatalf("%s is not understood: %v", sent, err)
		}
		if diff := cmp.Diff(d.edits, again.Edits, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%q comes back changed:\n%s", body, diff)
		}
	})
}
