//go:build netns

package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// A checked is one checker, and what makes its server good, slow, wrong and dead. What a kind of
// server cannot be is nil.
type checked struct {
	port  int
	block string
	// stall makes the server slow and back, spoil makes its answers wrong and right, die takes it
	// away and back.
	stall, spoil, die func(on bool)
}

// process is the stall and the death of a server that is a process.
func process(d *daemon) (stall, die func(bool)) {
	return func(on bool) {
			sig := syscall.SIGCONT
			if on {
				sig = syscall.SIGSTOP
			}
			d.proc.Signal(sig) //nolint:errcheck // the next probe tells
		}, func(on bool) {
			if on {
				d.kill()
			} else {
				d.start()
			}
		}
}

// TestCheckers: each checker against a real server of its kind. All servers are up; then all are slow,
// then all answer something else, then all are dead, and each time the checkers find out and
// find back. Programs and files set weights.
func TestCheckers(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	director := p.host("director", []string{"lan eth0 192.0.2.1/24"})
	// UDP_CHECK lives by ICMP errors, of which a host sends one a second to each other host.
	server := p.host("server", []string{"lan eth0 192.0.2.9/24"}, "sysctl -q -w net.ipv4.icmp_ratelimit=0")
	dir := openDir(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	exit := func(code string) { write(t, at("exit"), code+"\n") }
	number := func(n string) { write(t, at("number"), n+"\n") }
	exit("0")
	number("5")
	if err := os.WriteFile(at("program"), []byte("#!/bin/sh\nread code <"+at("exit")+"\n[ \"$code\" != slow ] || exec sleep 30\nexit $code\n"), 0o755); err != nil {
		t.Fatal(err)
	}

	web := startTLSWeb(t, server, dir)
	page := at("page.html")
	write(t, page, "all is well\n")
	webStall, webDie := process(web)
	names := &daemon{t: t, host: server, port: 53, command: []string{"dnsmasq", "-k", "-C", "/dev/null", "--no-resolv", "--no-hosts", "--user=root",
		"--pid-file=", "--bind-interfaces", "--listen-address=127.0.0.1,192.0.2.9", "--local=/example.com/", "--addn-hosts=" + write(t, at("hosts"), "192.0.2.9 www.example.com\n")}}
	names.start()
	namesStall, namesDie := process(names)
	mail := &daemon{t: t, host: server, port: 25, command: []string{"/usr/bin/aiosmtpd", "-n", "-l", "0.0.0.0:25", "-c", "aiosmtpd.handlers.Sink"}}
	mail.start()
	mailStall, mailDie := process(mail)
	peer := write(t, at("peer.conf"), "bfd_instance director {\n neighbor_ip 192.0.2.1\n source_ip 192.0.2.9\n min_rx 50\n min_tx 50\n multiplier 4\n}\n")
	keepalived := labtest.Start(t, server, "keepalived", "-n", "-l", "-D", "-f", peer, "-p", at("k.pid"), "-c", at("c.pid"), "-r", at("v.pid"), "-b", at("b.pid"))
	drop := func(rule string) func(bool) {
		return func(on bool) {
			word := "-D"
			if on {
				word = "-A"
			}
			run(t, server, "iptables -t raw "+word+" PREROUTING "+rule)
		}
	}
	stranger := func() {} // ends who answers in the mail server's place
	hosts := func(text string) {
		write(t, at("hosts"), text)
		names.proc.Signal(syscall.SIGHUP) //nolint:errcheck // the next probe tells
	}

	all := []checked{
		{1, "SSL_GET {\n url {\n path /page.html\n status_code 200-299\n regex \"is (well|fine)\"\n virtualhost www.example.com\n }\n enable_sni\n connect_port 443\n connect_timeout 1\n}",
			webStall, func(on bool) {
				write(t, page, map[bool]string{true: "all is lost\n", false: "all is well\n"}[on])
			}, webDie},
		{2, "HTTP_GET {\n url {\n path /page.html\n regex lost\n regex_no_match\n }\n connect_port 80\n connect_timeout 1\n}", webStall, nil, nil},
		{3, "SMTP_CHECK {\n helo_name director.example.com\n connect_port 25\n connect_timeout 1\n}", mailStall, func(on bool) {
			if !on {
				stranger()
				mail.start()
				return
			}
			mail.kill()
			stranger = says(t, server, ":25", "554 no mail here\r\n")
		}, mailDie},
		{4, "DNS_CHECK {\n type A\n name www.example.com\n connect_port 53\n connect_timeout 1\n}", namesStall, func(on bool) {
			hosts(map[bool]string{true: "", false: "192.0.2.9 www.example.com\n"}[on])
		}, namesDie},
		// The same question by hand; its answer has no error.
		{5, "UDP_CHECK {\n connect_port 53\n payload 00 07 01 00 00 01 00 00 00 00 00 00 03 77 77 77 07 65 78 61 6d 70 6c 65 03 63 6f 6d 00 00 01 00 01\n" +
			" require_reply 00 07 xx x0\n min_reply_length 20\n max_reply_length 500\n connect_timeout 1\n}", namesStall, nil, nil},
		{6, "UDP_CHECK {\n connect_port 53\n connect_timeout 1\n}", nil, nil, namesDie},
		{7, "PING_CHECK {\n connect_timeout 1\n}", nil, nil, drop("-p icmp -j DROP")},
		{8, "MISC_CHECK {\n misc_path \"" + at("program") + " 192.0.2.9 80\"\n misc_timeout 1\n misc_dynamic\n user root\n}",
			func(on bool) { exit(map[bool]string{true: "slow", false: "0"}[on]) },
			func(on bool) { exit(map[bool]string{true: "1", false: "0"}[on]) }, nil},
		{9, "FILE_CHECK {\n track_file number\n weight 2\n}", nil, func(on bool) { number(map[bool]string{true: "-200", false: "5"}[on]) }, nil},
		{10, "BFD_CHECK {\n name peer\n}", nil, nil, drop("-p udp --dport 3784 -j DROP")},
	}
	var config strings.Builder
	fmt.Fprintf(&config, "track_file number {\n file %s\n}\nbfd_instance peer {\n neighbor_ip 192.0.2.9\n source_ip 192.0.2.1\n min_rx 50\n min_tx 50\n multiplier 4\n}\n", at("number"))
	for _, c := range all {
		fmt.Fprintf(&config, "virtual_server 192.0.2.80 %d {\n protocol TCP\n lb_algo rr\n lb_kind NAT\n delay_loop 1\n retry 1\n delay_before_retry 0.5\n real_server 192.0.2.9 %d {\n weight 10\n %s\n }\n}\n", c.port, c.port, c.block)
	}
	d := startDirector(t, director, config.String())

	phase := func(name string, of func(checked) func(bool), who func(checked) bool) {
		t.Helper()
		done := make(map[string]bool)
		for _, on := range []bool{true, false} {
			clear(done)
			for _, c := range all {
				if f := of(c); f != nil {
					f(on)
				}
			}
			labtest.Eventually(t, labtest.Hang, func() error {
				var errs []error
				for _, s := range d.status().Services {
					for _, c := range all {
						if int(s.Port) != c.port {
							continue
						}
						want := control.ServerUp
						if on && who(c) {
							want = control.ServerRemoved
						}
						if got := s.Servers[0].State; got != want {
							errs = append(errs, fmt.Errorf("%s, %t: %s is %s, want %s (%s)", name, on, strings.Fields(c.block)[0], got, want, s.Servers[0].Checks[0].LastError))
						} else if on && who(c) && s.Servers[0].Checks[0].LastError == "" {
							errs = append(errs, fmt.Errorf("%s: the status does not say what %s met", name, strings.Fields(c.block)[0]))
						}
					}
				}
				return errors.Join(errs...)
			})
		}
	}
	phase("good", func(checked) func(bool) { return nil }, func(checked) bool { return false })
	phase("slow", func(c checked) func(bool) { return c.stall }, func(c checked) bool { return c.stall != nil })
	phase("wrong", func(c checked) func(bool) { return c.spoil }, func(c checked) bool { return c.spoil != nil || c.port == 2 || c.port == 5 })
	phase("dead", func(c checked) func(bool) { return c.die }, func(c checked) bool { return c.die != nil || c.port == 2 || c.port == 5 })

	weight := func(port int, want string) {
		t.Helper()
		labtest.Eventually(t, labtest.Hang, func() error {
			table := d.uvs("ipvsadm", "-L", "-n")
			_, rest, _ := strings.Cut(table, fmt.Sprintf("-> 192.0.2.9:%d ", port))
			if f := strings.Fields(rest); len(f) < 2 || f[1] != want {
				return fmt.Errorf("the server of port %d has not weight %s:\n%s", port, want, table)
			}
			return nil
		})
	}
	weight(9, "20") // 10, and twice 5
	number("-3")
	weight(9, "4")
	exit("42")
	weight(8, "40")
	waitLog(t, d, "Changing weight from 10 to 40 for active service [192.0.2.9]:tcp:8 of VS [192.0.2.80]:tcp:8")
	keepalived.Signal(os.Kill) //nolint:errcheck // it is waited for
	d.stop()
}

// says answers connections with a line until it is stopped.
func says(t *testing.T, h *netlab.Host, addr, line string) (stop func()) {
	t.Helper()
	l, err := h.Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, line) //nolint:errcheck // the checker tells
			c.Close()               //nolint:errcheck // the checker tells
		}
	}()
	return func() {
		l.Close() //nolint:errcheck // it is to go
		<-done
	}
}
