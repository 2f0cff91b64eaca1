//go:build netns

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

const tlsWebConf = `
daemon off;
master_process off;
user root;
pid %[1]s/nginx.pid;
error_log stderr notice;
events { }
http {
	access_log off;
	client_body_temp_path %[1]s;
	proxy_temp_path %[1]s;
	fastcgi_temp_path %[1]s;
	uwsgi_temp_path %[1]s;
	scgi_temp_path %[1]s;
	server {
		listen 80;
		listen 443 ssl;
		ssl_certificate %[1]s/tls.pem;
		ssl_certificate_key %[1]s/tls.pem;
		location = / { return 200 "%[2]s\n"; }
		location = /check.html { return 200 "OK\n"; }
		root %[3]s;
	}
}
`

// startTLSWeb starts nginx on ports 80 and 443. It answers / with its name, and has the files below
// root.
func startTLSWeb(t *testing.T, h *netlab.Host, root string) *daemon {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"www.example.com"}}
	cert, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...)
	if err := os.WriteFile(filepath.Join(dir, "tls.pem"), both, 0o600); err != nil {
		t.Fatal(err)
	}
	conf := write(t, filepath.Join(dir, "nginx.conf"), fmt.Sprintf(tlsWebConf, dir, h.Name(), root))
	d := &daemon{t: t, host: h, port: 443, command: []string{"nginx", "-c", conf}}
	d.start()
	return d
}

// startMariaDB starts MariaDB on port 3306 with a user and a database for checks. Its server_id is
// number.
func startMariaDB(t *testing.T, h *netlab.Host, number int) *daemon {
	t.Helper()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	labtest.Run(t, h, "mariadb-install-db", "--no-defaults", "--user=root", "--auth-root-authentication-method=normal", "--skip-test-db", "--datadir="+data)
	init := write(t, filepath.Join(dir, "init.sql"),
		"CREATE DATABASE monitor;\nCREATE USER 'monitor'@'%' IDENTIFIED BY 'secret';\nGRANT SELECT ON monitor.* TO 'monitor'@'%';\n")
	d := &daemon{t: t, host: h, port: 3306, command: []string{"mariadbd", "--no-defaults", "--user=root", "--datadir=" + data,
		"--socket=" + dir + "/sock", "--pid-file=" + dir + "/pid", "--init-file=" + init, "--bind-address=0.0.0.0", "--skip-name-resolve",
		fmt.Sprintf("--server-id=%d", number), "--innodb-buffer-pool-size=8M", "--innodb-flush-log-at-trx-commit=0"}}
	d.start()
	return d
}

// TestSiteVPC is a cloud's network: no multicast, virtual addresses that move when the cloud's API is
// told, which takes its time, clients behind a router. Web by NAT with wlc, persistent on 443;
// MariaDB by direct routing. The files are keepalived's, and once more the services from an
// ldirectord.cf.
func TestSiteVPC(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	client := p.host("client", []string{"internet eth0 203.0.113.5/24"}, "ip route add default via 203.0.113.1")
	p.host("router", []string{"internet eth0 203.0.113.1/24", "vpc eth1 172.18.1.1/24"}, "sysctl -q -w net.ipv4.ip_forward=1")
	var directors, webs []*netlab.Host
	var nginx, maria []*daemon
	for i := range 2 {
		directors = append(directors, p.host(fmt.Sprintf("lvs%02d", i+1), []string{fmt.Sprintf("vpc ens3 172.18.1.%d/24", 23+2*i)},
			"ip route add default via 172.18.1.1",
			"sysctl -q -w net.ipv4.ip_forward=1",
			"iptables -t raw -A PREROUTING -d 224.0.0.0/4 -j DROP"))
		webs = append(webs, p.host(fmt.Sprintf("web%d", i+1), []string{fmt.Sprintf("vpc eth0 172.18.1.%d/24", 33+i)}, "ip route add default via 172.18.1.199"))
		nginx = append(nginx, startTLSWeb(t, webs[i], "/nonexistent"))
		db := p.host(fmt.Sprintf("db%d", i+1), []string{fmt.Sprintf("vpc eth0 172.18.1.%d/24", 220+i)}, "ip route add default via 172.18.1.1")
		hidesVIP(t, db, "172.18.1.200")
		maria = append(maria, startMariaDB(t, db, i+1))
	}
	dir := openDir(t)
	api := filepath.Join(dir, "api")
	if err := os.WriteFile(api, []byte("#!/bin/sh\nsleep 3\necho \"$@\" >>"+dir+"/$(ip -4 -br address show ens3 | grep -o '172.18.1.2[35]')\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	config := func(i int) string {
		return strings.ReplaceAll(reference(t, fmt.Sprintf("%02d-seed-vpc-lvs%02d.conf", 8+i, 1+i)), "/bin/true", api)
	}
	told := func(i int) {
		t.Helper()
		labtest.Eventually(t, labtest.Hang, func() error {
			b, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("172.18.1.%d", 23+2*i)))
			if err == nil && string(b) != "assign-addresses 172.18.1.199 172.18.1.200\n" {
				err = fmt.Errorf("the API was told %q", b)
			}
			return err
		})
	}
	site := func(when string) {
		t.Helper()
		wantAnswers(t, client, "http://172.18.1.199/", when, "web1", "web2")
		first := curl(t, client, "-k", "https://172.18.1.199/")
		for range 4 {
			if got := curl(t, client, "-k", "https://172.18.1.199/"); got != first {
				t.Errorf("%s: a client with persistence meets %q after %q", when, got, first)
			}
		}
		read := make(map[string]bool)
		for range 4 {
			read[labtest.Run(t, client, "mysql", "--no-defaults", "--skip-ssl", "-h", "172.18.1.200", "-u", "monitor", "-psecret", "-N", "-e", "SELECT @@server_id", "monitor")] = true
		}
		if !read["1\n"] || !read["2\n"] {
			t.Errorf("%s: reads came from servers %v, want 1 and 2", when, read)
		}
	}

	first := startDirector(t, directors[0], config(0))
	takeover(t, first, "VPC", time.Now())
	second := startDirector(t, directors[1], config(1))
	waitLog(t, second, "(VPC) sees master 172.18.1.23")
	site("at first") // long before the API has answered
	told(0)
	if err := hasFinding(second, "VRRP goes to its peers one by one, as in a cloud's network", false, true); err != nil {
		t.Error(err)
	}

	// delay_loop 5, three retries a second apart.
	nginx[0].kill()
	died := time.Now()
	waitLog(t, first, "Removing service [172.18.1.33]:tcp:80 from VS [172.18.1.199]:tcp:80")
	waitLog(t, first, "Removing service [172.18.1.33]:tcp:443 from VS [172.18.1.199]:tcp:443")
	t.Logf("a web server's process is killed: out after %s", time.Since(died).Round(time.Millisecond))
	for range 4 {
		if got := strings.TrimSpace(curl(t, client, "http://172.18.1.199/")); got != "web2" {
			t.Errorf("with web1 dead, %q answers", got)
		}
	}
	nginx[0].start()
	waitLog(t, first, "Adding service [172.18.1.33]:tcp:443 to VS [172.18.1.199]:tcp:443")

	died = time.Now()
	dies(t, directors[0], first, "ens3")
	took := takeover(t, second, "VPC", died)
	t.Logf("the director's power fails: the other one is MASTER after %s", took.Round(time.Millisecond))
	if limit := slowPace().masterDown(100) + 100*time.Millisecond; took > limit {
		t.Errorf("the other director is MASTER after %s, want %s at the most", took, limit)
	}
	site("after the takeover")
	told(1)
	second.stop()

	// The same services from an ldirectord.cf.
	converted := labtest.Run(t, directors[1], labtest.Binary(t), "convert", "ldirectord", filepath.Join("..", "config", "ldirectord", "testdata", "vpc-web-db.cf"))
	vrrp, _, ok := strings.Cut(config(1), "virtual_server ")
	if !ok {
		t.Fatal("the file has no virtual_server")
	}
	second = startDirector(t, directors[1], vrrp+converted)
	takeover(t, second, "VPC", time.Now())
	site("converted from ldirectord")
	maria[0].kill()
	waitLog(t, second, "Disabling service [172.18.1.220]:tcp:3306 of VS [172.18.1.200]:tcp:3306") // quiescent=yes
	second.stop()
}
