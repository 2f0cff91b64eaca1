package mail_test

import (
	"testing"

	"uvs/internal/mail"
)

func TestMessages(t *testing.T) {
	const rs, vs = "[192.0.2.11]:tcp:8080", "[192.0.2.1]:tcp:80"
	for _, c := range []struct {
		got           mail.Message
		subject, body string
	}{
		{mail.Instance("LB1", "VI", mail.Master), "[LB1] VRRP Instance VI - Entering MASTER state", "=> VRRP Instance is now owning VRRP VIPs <="},
		{mail.Instance("LB1", "VI", mail.Backup), "[LB1] VRRP Instance VI - Entering BACKUP state", "=> VRRP Instance is no longer owning VRRP VIPs <="},
		{mail.Instance("LB1", "VI", mail.Fault), "[LB1] VRRP Instance VI - Entering FAULT state", "=> VRRP Instance is no longer owning VRRP VIPs <="},
		{mail.Instance("LB1", "VI", mail.Stopping), "[LB1] VRRP Instance VI - Stopping", "=> VRRP Instance stopping <="},
		{mail.Instance("LB1", "VI", mail.Deleted), "[LB1] VRRP Instance VI - Deleted", "=> VRRP Deleted at reload <="},
		{mail.Instance("", "VI", mail.Master), "VRRP Instance VI - Entering MASTER state", "=> VRRP Instance is now owning VRRP VIPs <="},
		{mail.Group("LB1", "G", mail.Master), "[LB1] VRRP Group G - Entering MASTER state", "=> All VRRP group instances are now in MASTER state <="},
		{mail.Group("LB1", "G", mail.Backup), "[LB1] VRRP Group G - Entering BACKUP state", "=> All VRRP group instances are now in BACKUP state <="},
		{mail.Group("LB1", "G", mail.Fault), "[LB1] VRRP Group G - Entering FAULT state", "=> All VRRP group instances are now in FAULT state <="},
		{mail.Group("LB1", "G", mail.Stopping), "[LB1] VRRP Group G - Stopping", "=> All VRRP group instances are now stopping <="},
		{mail.RealServer("LB1", rs, vs, true, mail.CheckBody(mail.TCP, true, "")),
			"[LB1] Realserver [192.0.2.11]:tcp:8080 of virtual server [192.0.2.1]:tcp:80 - UP", "=> TCP CHECK succeed on service <="},
		{mail.RealServer("LB1", rs, vs, false, mail.CheckBody(mail.HTTP, false, "")),
			"[LB1] Realserver [192.0.2.11]:tcp:8080 of virtual server [192.0.2.1]:tcp:80 - DOWN", "=> CHECK failed on service : HTTP request failed <="},
		{mail.ServerStopping("LB1", rs, vs), "[LB1] Realserver [192.0.2.11]:tcp:8080 of virtual server [192.0.2.1]:tcp:80 - DOWN", "=> Shutting down <="},
		{mail.ServerRemoved("LB1", rs, vs), "[LB1] Realserver [192.0.2.11]:tcp:8080 of virtual server [192.0.2.1]:tcp:80 - DOWN", "=> Removing <="},
		{mail.QuorumStopping("LB1", vs), "[LB1] Virtualserver [192.0.2.1]:tcp:80 - DOWN", "=> Shutting down <="},
		{mail.Quorum("LB1", vs, true, 2, 1, 3), "[LB1] Virtualserver [192.0.2.1]:tcp:80 - UP", "=> Gained quorum 2+1=3 <= 3 <="},
		{mail.Quorum("LB1", vs, false, 1, 2, -5), "[LB1] Virtualserver [192.0.2.1]:tcp:80 - DOWN", "=> Lost quorum 1-2=-1 > -5 <="},
	} {
		if c.got.Subject != c.subject || c.got.Body != c.body {
			t.Errorf("got  %q, %q\nwant %q, %q", c.got.Subject, c.got.Body, c.subject, c.body)
		}
	}
}

func TestCheckBodies(t *testing.T) {
	for _, c := range []struct {
		check          mail.Check
		detail         string
		passed, failed string
	}{
		{mail.TCP, "", "=> TCP CHECK succeed on service <=", "=> TCP CHECK failed on service <="},
		{mail.UDP, "", "=> UDP CHECK succeed on service <=", "=> UDP CHECK failed on service <="},
		{mail.Ping, "", "=> ICMP CHECK succeed on service <=", "=> ICMP CHECK failed on service <="},
		{mail.HTTP, "", "=> CHECK succeed on service <=", "=> CHECK failed on service : HTTP request failed <="},
		{mail.SMTP, "connection failure", "=> CHECK succeed on service <=", "=> CHECK failed on service : connection failure <="},
		{mail.DNS, "", "=> DNS_CHECK: succeed on service <=", "=> DNS_CHECK: failed on service <="},
		{mail.Misc, "", "=> MISC CHECK succeeded on service <=", "=> MISC CHECK failed on service <="},
		{mail.Misc, "timed out", "=> MISC CHECK succeeded on service <=", "=> MISC CHECK timed out on service <="},
		{mail.BFD, "peer", "=> BFD CHECK peer succeeded on service <=", "=> BFD CHECK peer failed on service <="},
	} {
		if got := mail.CheckBody(c.check, true, c.detail); got != c.passed {
			t.Errorf("got %q, want %q", got, c.passed)
		}
		if got := mail.CheckBody(c.check, false, c.detail); got != c.failed {
			t.Errorf("got %q, want %q", got, c.failed)
		}
	}
}
