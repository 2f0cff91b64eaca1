//go:build netns

package mail_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"uvs/internal/mail"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// recorder is a handler for aiosmtpd: a line of JSON for each mail.
const recorder = `
import json

class Recorder:
    async def handle_DATA(self, server, session, envelope):
        print(json.dumps({"helo": session.host_name, "extended": session.extended_smtp, "from": envelope.mail_from,
            "to": envelope.rcpt_tos, "text": envelope.original_content.decode()}), flush=True)
        return "250 OK"
`

// A delivered is a mail as a server has got it.
type delivered struct {
	Helo     string
	Extended bool
	From     string
	To       []string
	Text     string
}

const smtpAddr = "127.0.0.1:2525"

// startSMTP starts a server on a host and returns what it gets.
func startSMTP(t *testing.T, h *netlab.Host) (mails func() []delivered) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "recorder.py"), []byte(recorder), 0o644); err != nil {
		t.Fatal(err)
	}
	server := labtest.StartCmd(t, h, netlab.Cmd{Name: "/usr/bin/aiosmtpd", Args: []string{"-n", "-l", smtpAddr, "-c", "recorder.Recorder"},
		Env: []string{"PYTHONPATH=" + dir, "PYTHONDONTWRITEBYTECODE=1"}})
	labtest.Eventually(t, time.Minute, func() error {
		c, err := h.DialContext(t.Context(), "tcp", smtpAddr)
		if err != nil {
			return err
		}
		return c.Close()
	})
	return func() (all []delivered) {
		for line := range strings.Lines(server.Stdout()) {
			var d delivered
			if strings.HasSuffix(line, "\n") && json.Unmarshal([]byte(line), &d) == nil {
				all = append(all, d)
			}
		}
		return all
	}
}

// TestSameMailAsKeepalived: keepalived and a Queue of ours send mail about the same changes to one server, which gets the
// same, but for the date.
func TestSameMailAsKeepalived(t *testing.T) {
	site := labtest.New(t)
	h, other := labtest.Host(t, site, "director"), labtest.Host(t, site, "other")
	if err := site.Connect(h, "eth0", other, "eth0"); err != nil {
		t.Fatal(err)
	}
	if err := h.AddAddr("eth0", netip.MustParsePrefix("192.0.2.1/24")); err != nil {
		t.Fatal(err)
	}
	mails := startSMTP(t, h)
	dir := t.TempDir()
	conf := filepath.Join(dir, "keepalived.conf")
	instance := func(name string, id int) string {
		return fmt.Sprintf(`
vrrp_instance %s {
    interface eth0
    virtual_router_id %d
    advert_int 0.1
    virtual_ipaddress {
        192.0.2.%d
    }
    %s
}
`, name, id, 100+id, map[string]string{"C": "notify_deleted"}[name])
	}
	global := `
global_defs {
    router_id LB1
    notification_email {
        one@example.net
        two@example.org
    }
    notification_email_from director@example.com
    smtp_server 127.0.0.1 2525
    smtp_helo_name lb1.example.com
    smtp_alert true
    vrrp_version 3
}
` + instance("A", 1)
	group := `
vrrp_sync_group G {
    group {
        B
    }
    track_interface {
        eth0
    }
}
`
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(global + instance("B", 2) + group + instance("C", 3) + instance("D", 4))
	keepalived := labtest.Start(t, h, "keepalived", "-n", "-l", "-P", "-D", "-f", conf, "-p", filepath.Join(dir, "pid"), "-r", filepath.Join(dir, "vrrp.pid"))
	// waitFor waits until each of these is the subject of a number of mails.
	waitFor := func(times int, subjects ...string) {
		t.Helper()
		labtest.Eventually(t, time.Minute, func() error {
			text := ""
			for _, m := range mails() {
				text += m.Text
			}
			for _, s := range subjects {
				if n := strings.Count(text, s+"\r\n"); n < times {
					return fmt.Errorf("%d mails %q, want %d:\n%s", n, s, times, text)
				}
			}
			return nil
		})
	}
	each := func(state string) []string {
		return []string{"Instance A - " + state, "Instance B - " + state, "Instance C - " + state, "Instance D - " + state, "Group G - " + state}
	}
	waitFor(1, each("Entering MASTER state")...)
	if err := h.SetDown("eth0"); err != nil {
		t.Fatal(err)
	}
	waitFor(1, each("Entering FAULT state")...)
	if err := h.SetUp("eth0"); err != nil {
		t.Fatal(err)
	}
	waitFor(2, each("Entering MASTER state")...)
	write(global + instance("B", 2) + group)
	labtest.Run(t, h, "sh", "-c", "kill -HUP $(cat "+filepath.Join(dir, "pid")+")")
	waitFor(1, "Instance C - Deleted")
	waitFor(2, "Instance D - Entering FAULT state") // without notify_deleted
	if err := keepalived.Stop(); err != nil {
		t.Fatal(err)
	}
	theirs := slices.Clone(mails())

	// Ours, through the same server.
	q := mail.NewQueue(mail.Options{Server: smtpAddr, From: "director@example.com", To: []string{"one@example.net", "two@example.org"},
		Helo: "lb1.example.com", Dial: h.DialContext, OnEvent: func(e mail.Event) {
			if e.Err != nil || len(e.Refused) > 0 {
				t.Error(e)
			}
		}})
	all := map[mail.Message]bool{}
	for _, name := range []string{"A", "B", "C", "D"} {
		for s := mail.Master; s <= mail.Deleted; s++ {
			all[mail.Instance("LB1", name, s)] = true
		}
	}
	for s := mail.Master; s <= mail.Stopping; s++ {
		all[mail.Group("LB1", "G", s)] = true
	}
	for m := range all {
		q.Send(m)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	labtest.Eventually(t, time.Minute, func() error {
		if n := len(mails()) - len(theirs); n != len(all) {
			return fmt.Errorf("%d of our %d mails are there", n, len(all))
		}
		return nil
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	ours := map[string]bool{}
	for _, m := range mails()[len(theirs):] {
		ours[undated(t, m)] = true
	}
	seen := map[string]bool{}
	for _, m := range theirs {
		text := undated(t, m)
		seen[text] = true
		if !ours[text] {
			t.Errorf("keepalived sent what we would not:\n%s", text)
		}
	}
	const kinds = 16 // BACKUP, MASTER and FAULT of four instances and a group, and one Deleted
	if len(seen) < kinds {
		t.Errorf("keepalived sent %d different mails, want at least %d", len(seen), kinds)
	}
}

// undated is all of a mail but its date, which must be one.
func undated(t *testing.T, m delivered) string {
	t.Helper()
	date, rest, _ := strings.Cut(m.Text, "\r\n")
	if _, err := time.Parse("Date: Mon, 02 Jan 2006 15:04:05 -0700", date); err != nil {
		t.Errorf("%q: %v", date, err)
	}
	return fmt.Sprintf("helo %s extended %v from %s to %v\n%q", m.Helo, m.Extended, m.From, m.To, rest)
}
