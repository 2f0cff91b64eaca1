//go:build netns

package control_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"uvs/control"
	"uvs/internal/netlab"
)

// TestPeerCredentials connects as root and as nobody, to a socket whose mode would
// let anyone in.
func TestPeerCredentials(t *testing.T) {
	netlab.Require(t)
	runDir := serve(t, fake{})
	socket := filepath.Join(runDir, control.SocketName)
	for dir := runDir; strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		uid  int
		want string
	}{
		{"root", 0, "200 "},
		{"nobody", 65534, `403 {"error":"permission denied: this uvs answers root, not uid 65534"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := dialAs(t, socket, tt.uid)
			defer c.Close()
			if _, err := io.WriteString(c, "GET /v1/connections HTTP/1.1\r\nHost: uvs\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if got := resp.Status[:4] + strings.TrimSpace(string(body)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// dialAs connects from a thread that has another effective user meanwhile. The
// system call is made raw: package syscall's would change the whole process.
func dialAs(t *testing.T, socket string, uid int) net.Conn {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	become := func(uid int) {
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
			t.Fatal(errno)
		}
	}
	become(uid)
	defer become(0)
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
