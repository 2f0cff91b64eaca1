package control

import (
	"context"
	"errors"
	"net"
	"testing"
)

// TestAuthorize connects as users that the test names. That the kernel names them
// right is TestPeerCredentials' matter.
func TestAuthorize(t *testing.T) {
	tests := []struct {
		name      string
		own, peer int
		peerErr   error
		want      string // the error, empty if answered
	}{
		{"root asks root's", 0, 0, nil, ""},
		{"root asks a user's", 1000, 0, nil, ""},
		{"the same user asks", 1000, 1000, nil, ""},
		{"a user asks root's", 0, 1000, nil, "permission denied: this uvs answers root, not uid 1000"},
		{"another user asks", 1000, 1001, nil, "permission denied: this uvs answers root and uid 1000, not uid 1001"},
		{"nobody knows who asks", 0, 0, errors.New("SO_PEERCRED: bad file descriptor"), "permission denied: the calling user is not known: SO_PEERCRED: bad file descriptor"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := Listen(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			a := &api{director: calm{}, uid: tt.own, peerUID: func(*net.UnixConn) (int, error) { return tt.peer, tt.peerErr }}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- a.serve(ctx, l) }()
			defer func() {
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			}()

			got := ""
			if err := Dial(runDirOf(l)).Connections(ctx, func(Connection) error { return nil }); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func runDirOf(l *Listener) string { return l.lock.Name() }

// calm is a Director of an empty table.
type calm struct{ Director }

func (calm) Status(context.Context) (Status, error)        { return Status{}, nil }
func (calm) Services(context.Context) (ServiceList, error) { return ServiceList{}, nil }
func (calm) Connections(context.Context, func(Connection) error) error {
	return nil
}
