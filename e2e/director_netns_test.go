//go:build netns

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// startTimeout is labtest.Hang for what a director does at its start, also in a virtual machine without KVM.
const startTimeout = slowness * labtest.Hang

// A director is a running uvs on a host. Its run directory is /run/uvs, which each host
// has for itself.
type director struct {
	t    *testing.T
	host *netlab.Host
	bin  string
	proc *netlab.Process
}

// startDirector writes the configuration, starts uvs with it and waits until it is ready.
func startDirector(t *testing.T, h *netlab.Host, config string, args ...string) *director {
	t.Helper()
	d := launch(t, h, config, args...)
	d.waitReady()
	return d
}

// launch starts uvs and does not wait.
func launch(t *testing.T, h *netlab.Host, config string, args ...string) *director {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keepalived.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	return launchFile(t, h, file, args...)
}

// launchFile starts uvs with a file and does not wait.
func launchFile(t *testing.T, h *netlab.Host, file string, args ...string) *director {
	t.Helper()
	d := &director{t: t, host: h, bin: labtest.Binary(t)}
	d.proc = labtest.Start(t, h, d.bin, append([]string{"run", "-f", file}, args...)...)
	return d
}

func (d *director) waitReady() {
	d.t.Helper()
	labtest.Eventually(d.t, startTimeout, func() error {
		select {
		case <-d.proc.Done():
			d.t.Fatalf("uvs ended: %s", d.proc.Output())
		default:
		}
		_, err := d.tryUVS("status")
		return err
	})
}

// stop sends SIGTERM and wants a clean exit.
func (d *director) stop() {
	d.t.Helper()
	if err := d.proc.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	if err := d.proc.Wait(); err != nil {
		d.t.Fatalf("uvs did not stop cleanly: %v\n%s", err, d.proc.Output())
	}
}

// kill ends uvs as a crash would.
func (d *director) kill() {
	d.t.Helper()
	if err := d.proc.Signal(os.Kill); err != nil {
		d.t.Fatal(err)
	}
	<-d.proc.Done()
}

// uvs runs a subcommand on the director and returns its output.
func (d *director) uvs(args ...string) string {
	d.t.Helper()
	out, err := d.tryUVS(args...)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

func (d *director) tryUVS(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), slowness*labtest.Hang)
	defer cancel()
	return d.host.Run(ctx, d.bin, args...)
}

// edit changes the service table over the control socket, as an operator's tools do.
func (d *director) edit(edits ...control.Edit) {
	d.t.Helper()
	body, err := json.Marshal(map[string]any{"edits": edits})
	if err != nil {
		d.t.Fatal(err)
	}
	labtest.Run(d.t, d.host, "curl", "-sS", "--fail-with-body", "--unix-socket", "/run/uvs/control.sock",
		"-H", "Content-Type: application/json", "-d", string(body), "http://uvs/v1/edits")
}

// status asks for the whole status.
func (d *director) status() control.Status {
	d.t.Helper()
	var s control.Status
	if err := json.Unmarshal([]byte(d.uvs("status", "-o", "json")), &s); err != nil {
		d.t.Fatal(err)
	}
	return s
}

// A webServer is nginx on a host. It answers / with its name, /big with a file, and keeps
// what is uploaded to /up.
type webServer struct {
	t    *testing.T
	host *netlab.Host
	dir  string
	conf string
	proc *netlab.Process
}

// startWeb starts nginx on port 80 and 8080 of every address and waits until it answers.
func startWeb(t *testing.T, h *netlab.Host) *webServer {
	t.Helper()
	w := &webServer{t: t, host: h, dir: t.TempDir()}
	for _, dir := range []string{"www", "up", "tmp"} {
		if err := os.MkdirAll(filepath.Join(w.dir, dir), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	w.conf = filepath.Join(w.dir, "nginx.conf")
	if err := os.WriteFile(w.conf, fmt.Appendf(nil, nginxConf, w.dir, h.Name()), 0o644); err != nil {
		t.Fatal(err)
	}
	w.start()
	return w
}

// nginxConf takes the directory and the server's name.
const nginxConf = `
daemon off;
master_process off;
user root;
pid %[1]s/nginx.pid;
error_log stderr notice;
events { worker_connections 2000; }
http {
	log_format uvs '$remote_addr $request_uri';
	access_log %[1]s/access.log uvs;
	client_body_temp_path %[1]s/up;
	proxy_temp_path %[1]s/tmp;
	fastcgi_temp_path %[1]s/tmp;
	uwsgi_temp_path %[1]s/tmp;
	scgi_temp_path %[1]s/tmp;
	server {
		listen 80 default_server;
		listen 8080;
		listen [::]:80 ipv6only=on;
		listen [::]:8080 ipv6only=on;
		root %[1]s/www;
		client_max_body_size 0;
		location = / { return 200 "%[2]s\n"; }
		location = /ok { return 200 "stored\n"; }
		location = /up {
			client_body_in_file_only on;
			proxy_pass http://127.0.0.1:80/ok;
		}
	}
}
`

func (w *webServer) start() {
	w.t.Helper()
	w.proc = labtest.Start(w.t, w.host, "nginx", "-c", w.conf)
	labtest.Eventually(w.t, labtest.Hang, func() error {
		c, err := w.host.DialContext(w.t.Context(), "tcp", "127.0.0.1:80")
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// stop ends nginx at once; its host then refuses connections.
func (w *webServer) stop() {
	w.t.Helper()
	w.proc.Signal(os.Kill) //nolint:errcheck // it may have ended
	<-w.proc.Done()
}

// accessLog returns the lines of the access log.
func (w *webServer) accessLog() []string {
	b, err := os.ReadFile(filepath.Join(w.dir, "access.log"))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// curl runs curl on a host and returns the body.
func curl(t *testing.T, from *netlab.Host, args ...string) string {
	t.Helper()
	out, err := tryCurl(t, from, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tryCurl(t *testing.T, from *netlab.Host, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	return from.Run(ctx, "curl", append([]string{"-sS", "-g", "--fail", "--connect-timeout", "5"}, args...)...)
}

// url builds a URL from an address.
func url(addr fmt.Stringer, port int, path string) string {
	host := addr.String()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return fmt.Sprintf("http://%s:%d%s", host, port, path)
}
