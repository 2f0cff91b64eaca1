//go:build netns

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

const lighttpdConf = `
server.modules = ( "mod_proxy" )
server.document-root = "%[1]s"
server.port = 80
server.errorlog = "%[1]s/error.log"
server.upload-dirs = ( "%[1]s" )
proxy.server = ( "" => ( ( "host" => "%[2]s", "port" => 80, "disable-time" => 0 ) ) )
`

const apacheConf = `
ServerRoot /usr/lib/apache2
ServerName %[2]s
PidFile %[1]s/apache.pid
DefaultRuntimeDir %[1]s
ErrorLog %[1]s/error.log
LoadModule mpm_event_module modules/mod_mpm_event.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule dir_module modules/mod_dir.so
User www-data
Group www-data
Listen 80
DocumentRoot %[1]s
<Directory %[1]s>
	Require all granted
</Directory>
`

// A daemon is somebody's server program, to be killed and started again.
type daemon struct {
	t       *testing.T
	host    *netlab.Host
	port    int
	command []string
	proc    *netlab.Process
}

func (d *daemon) start() {
	d.t.Helper()
	d.proc = labtest.Start(d.t, d.host, d.command[0], d.command[1:]...)
	labtest.Eventually(d.t, labtest.Hang, func() error {
		c, err := d.host.DialContext(d.t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", d.port))
		if err != nil {
			return fmt.Errorf("%w\n%s", err, d.proc.Output())
		}
		return c.Close()
	})
}

// kill ends it at once; its host then refuses connections.
func (d *daemon) kill() {
	d.t.Helper()
	d.proc.Signal(os.Kill) //nolint:errcheck // it may have ended
	<-d.proc.Done()
}

// openDir makes a directory that every user can look into.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func write(t *testing.T, file, text string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// startLighttpd starts lighttpd on port 80, which passes all requests on to a web server.
func startLighttpd(t *testing.T, h *netlab.Host, to string) *daemon {
	t.Helper()
	dir := t.TempDir()
	conf := write(t, filepath.Join(dir, "lighttpd.conf"), fmt.Sprintf(lighttpdConf, dir, to))
	d := &daemon{t: t, host: h, port: 80, command: []string{"lighttpd", "-D", "-f", conf}}
	d.start()
	return d
}

// startApache starts Apache on port 80, whose page is the host's name. One process serves, so that
// killing it ends the service.
func startApache(t *testing.T, h *netlab.Host) *daemon {
	t.Helper()
	dir := openDir(t)
	write(t, filepath.Join(dir, "index.html"), h.Name()+"\n")
	conf := write(t, filepath.Join(dir, "apache.conf"), fmt.Sprintf(apacheConf, dir, h.Name()))
	d := &daemon{t: t, host: h, port: 80, command: []string{"apache2", "-X", "-f", conf}}
	d.start()
	return d
}

// TestSiteWebCluster is a web cluster in two tiers: two directors of equal priority in front of two
// lighttpd proxies, and in front of the two Apaches behind these, all by direct routing. One
// server of each tier has the virtual address on lo and is silent in ARP, the other redirects.
// Under load a proxy's process dies, then a web server's, then a proxy falls silent, then the
// director's power fails; each is out in time, and none but the affected requests fail.
func TestSiteWebCluster(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	client := p.host("client", []string{"front eth0 192.168.1.5/24"})
	var directors []*netlab.Host
	for i := range 2 {
		directors = append(directors, p.host(fmt.Sprintf("lb%d", i+1), []string{
			fmt.Sprintf("front eth0 192.168.1.%d/24", 11+i), fmt.Sprintf("back eth1 10.0.30.%d/16", 11+i)}))
	}
	var proxies, webs []*netlab.Host
	for i := range 2 {
		proxies = append(proxies, p.host(fmt.Sprintf("proxy%d", i+1), []string{
			fmt.Sprintf("front eth0 192.168.1.%d/24", 141+i), fmt.Sprintf("back eth1 10.0.30.%d/16", 141+i)}))
		webs = append(webs, p.host(fmt.Sprintf("web%d", i+1), []string{fmt.Sprintf("back eth0 10.0.30.%d/16", 2+i)}))
	}
	hidesVIP(t, proxies[0], "192.168.1.140")
	redirectsVIP(t, proxies[1], "192.168.1.140", 80)
	hidesVIP(t, webs[0], "10.0.30.1")
	redirectsVIP(t, webs[1], "10.0.30.1", 80)
	apaches := []*daemon{startApache(t, webs[0]), startApache(t, webs[1])}
	lighttpds := []*daemon{startLighttpd(t, proxies[0], "10.0.30.1"), startLighttpd(t, proxies[1], "10.0.30.1")}

	config := reference(t, "01-seed-web-cluster-front.conf") + reference(t, "02-seed-web-cluster-back.conf")
	first := startDirector(t, directors[0], config)
	takeover(t, first, "VI_FRONT", time.Now())
	takeover(t, first, "VI_BACK", time.Now())
	second := startDirector(t, directors[1], config)
	waitLog(t, second, "(VI_FRONT) Entering BACKUP STATE")

	load := startLoadOf(t, client, "http://192.168.1.140/", 3*time.Second)
	load.waitFor("web1", 20)
	load.waitFor("web2", 20)
	var windows []window
	out := func(why, line string, limit time.Duration, die func()) {
		t.Helper()
		died := time.Now()
		die()
		waitLog(t, first, line)
		took := time.Since(died)
		t.Logf("%s: out after %s", why, took.Round(time.Millisecond))
		if took > limit {
			t.Errorf("%s: out after %s, want %s at the most", why, took, limit)
		}
		windows = append(windows, window{why: why, from: died, to: time.Now()})
	}
	back := func(line string) {
		t.Helper()
		waitLog(t, first, line)
		load.waitFor("web1", 20)
	}

	out("a proxy's process is killed", "Removing service [192.168.1.141]:tcp:80 from VS [192.168.1.140]:tcp:80", 2200*time.Millisecond, lighttpds[0].kill)
	lighttpds[0].start()
	back("Adding service [192.168.1.141]:tcp:80 to VS [192.168.1.140]:tcp:80")

	// delay_loop 3, two retries a second apart, and what the probes take themselves.
	out("a web server's process is killed", "Removing service [10.0.30.2]:tcp:80 from VS [10.0.30.1]:tcp:80", 6*time.Second, apaches[0].kill)
	windows[len(windows)-1].hidden = true // lighttpd tries another connection
	load.waitFor("web2", 20)
	apaches[0].start()
	back("Adding service [10.0.30.2]:tcp:80 to VS [10.0.30.1]:tcp:80")

	out("a proxy falls silent", "Removing service [192.168.1.142]:tcp:80 from VS [192.168.1.140]:tcp:80", 6500*time.Millisecond,
		func() { dies(t, proxies[1], nil, "eth0") })
	if err := proxies[1].SetUp("eth0"); err != nil {
		t.Fatal(err)
	}
	back("Adding service [192.168.1.142]:tcp:80 to VS [192.168.1.140]:tcp:80")

	died := time.Now()
	dies(t, directors[0], first, "eth0", "eth1")
	took := takeover(t, second, "VI_FRONT", died)
	windows = append(windows, window{why: "the director's power fails", from: died, to: time.Now()})
	t.Logf("the director's power fails: the other one is MASTER after %s", took.Round(time.Millisecond))
	if limit := slowPace().masterDown(100) + 100*time.Millisecond; took > limit {
		t.Errorf("the other director is MASTER after %s, want %s at the most", took, limit)
	}
	load.waitFor("web1", 20)
	load.waitFor("web2", 20)
	within(t, load.stop(), windows...)

	// A proxy that lost its setting is named, with its MAC.
	if err := proxies[0].Sysctl("net.ipv4.conf.all.arp_ignore", "0"); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("real server 192.168.1.141 (%s) answers for the virtual address 192.168.1.140 on eth0", macOf(t, proxies[0]))
	labtest.Eventually(t, labtest.Hang, func() error { return hasFinding(second, text, true, true) })
	second.stop()
}
