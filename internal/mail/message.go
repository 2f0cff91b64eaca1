package mail

import (
	"fmt"
	"mime"
	"net/mail"
	"strings"
	"time"
)

// A Message is what a mail says. Both are one line.
type Message struct {
	Subject, Body string
}

// A State is what an instance or a group of VRRP has come to.
type State uint8

// The states that are told by mail.
const (
	Master State = iota
	Backup
	Fault
	Stopping
	Deleted // by a reload; of instances only
)

// words of a subject.
func (s State) words() string {
	switch s {
	case Master:
		return "Entering MASTER state"
	case Backup:
		return "Entering BACKUP state"
	case Fault:
		return "Entering FAULT state"
	case Stopping:
		return "Stopping"
	case Deleted:
		return "Deleted"
	}
	return "unknown state"
}

// Instance is the mail about a VRRP instance; router is the router_id. It is keepalived 2.2.7's (vrrp/vrrp_notify.c), as
// all here are.
func Instance(router, name string, s State) Message {
	body := "=> VRRP Instance is no longer owning VRRP VIPs <="
	switch s {
	case Master:
		body = "=> VRRP Instance is now owning VRRP VIPs <="
	case Stopping:
		body = "=> VRRP Instance stopping <="
	case Deleted:
		body = "=> VRRP Deleted at reload <="
	}
	return Message{Subject: subject(router, "VRRP Instance "+name, s.words()), Body: body}
}

// Group is the mail about a VRRP sync group.
func Group(router, name string, s State) Message {
	body := "=> All VRRP group instances are now stopping <="
	switch s {
	case Master:
		body = "=> All VRRP group instances are now in MASTER state <="
	case Backup:
		body = "=> All VRRP group instances are now in BACKUP state <="
	case Fault:
		body = "=> All VRRP group instances are now in FAULT state <="
	}
	return Message{Subject: subject(router, "VRRP Group "+name, s.words()), Body: body}
}

// RealServer is the mail about a real server that went up or down; server and service are such as
// "[192.0.2.1]:tcp:80", body comes from [CheckBody].
func RealServer(router, server, service string, up bool, body string) Message {
	return Message{Subject: subject(router, "Realserver "+server+" of virtual server "+service, upDown(up)), Body: body}
}

// ServerStopping is the mail about a real server that was up as we stop.
func ServerStopping(router, server, service string) Message {
	return RealServer(router, server, service, false, "=> Shutting down <=")
}

// ServerRemoved is the mail about a real server that was up and that the configuration leaves out.
func ServerRemoved(router, server, service string) Message {
	return RealServer(router, server, service, false, "=> Removing <=")
}

// QuorumStopping is the mail about a virtual server that had its quorum as we stop.
func QuorumStopping(router, service string) Message {
	return Message{Subject: subject(router, "Virtualserver "+service, upDown(false)), Body: "=> Shutting down <="}
}

// Quorum is the mail about a virtual server whose alive servers have come to the weight, or lost it: gained when quorum +
// hysteresis <= weight, lost when quorum - hysteresis > weight.
func Quorum(router, service string, gained bool, quorum, hysteresis uint32, weight int64) Message {
	body := fmt.Sprintf("=> Lost quorum %d-%d=%d > %d <=", quorum, hysteresis, int64(quorum)-int64(hysteresis), weight)
	if gained {
		body = fmt.Sprintf("=> Gained quorum %d+%d=%d <= %d <=", quorum, hysteresis, int64(quorum)+int64(hysteresis), weight)
	}
	return Message{Subject: subject(router, "Virtualserver "+service, upDown(gained)), Body: body}
}

// A Check is a kind of checker, for what its mails say.
type Check uint8

// The kinds.
const (
	TCP Check = iota
	HTTP
	SMTP
	DNS
	Misc
	UDP
	Ping
	BFD
)

// CheckBody is the body of a real server's mail. detail is why an SMTP check failed, "timed out" for a Misc check that
// did, and the name of a BFD instance; it is not used otherwise.
func CheckBody(c Check, up bool, detail string) string {
	verdict := map[bool]string{true: "succeed", false: "failed"}[up]
	past := map[bool]string{true: "succeeded", false: "failed"}[up]
	switch c {
	case TCP, UDP, Ping:
		word := map[Check]string{TCP: "TCP", UDP: "UDP", Ping: "ICMP"}[c]
		return fmt.Sprintf("=> %s CHECK %s on service <=", word, verdict)
	case DNS:
		return fmt.Sprintf("=> DNS_CHECK: %s on service <=", verdict)
	case Misc:
		if !up && detail != "" {
			past = detail
		}
		return fmt.Sprintf("=> MISC CHECK %s on service <=", past)
	case BFD:
		return fmt.Sprintf("=> BFD CHECK %s %s on service <=", detail, past)
	case HTTP:
		detail = "HTTP request failed"
	}
	if up {
		return "=> CHECK succeed on service <="
	}
	return fmt.Sprintf("=> CHECK failed on service : %s <=", detail)
}

func upDown(up bool) string {
	if up {
		return "UP"
	}
	return "DOWN"
}

// subject puts the parts of a subject together; a director without a name leaves the bracket out.
func subject(router, what, event string) string {
	if router == "" {
		return what + " - " + event
	}
	return fmt.Sprintf("[%s] %s - %s", router, what, event)
}

// text is a message as it goes over the wire, without the dot that ends it: keepalived's headers in its order. Line
// breaks in any part cannot make further headers.
func (m dated) text(from string, to []string) string {
	const rfc822 = "Mon, 02 Jan 2006 15:04:05 -0700"
	var b strings.Builder
	for _, h := range [][2]string{
		{"Date", m.at.Format(rfc822)},
		{"From", oneLine(from)},
		{"Subject", mime.QEncoding.Encode("utf-8", oneLine(m.Subject))},
		{"X-Mailer", "Keepalived"},
		{"To", oneLine(strings.Join(to, ", "))},
	} {
		b.WriteString(h[0] + ": " + h[1] + "\r\n")
	}
	b.WriteString("\r\n")
	for _, line := range append([]string{m.Body}, m.more...) {
		line = oneLine(line)
		if strings.HasPrefix(line, ".") {
			line = "." + line
		}
		b.WriteString(line + "\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}

// digestMax is how many messages a digest tells one by one.
const digestMax = 1000

// digest puts messages together: one alone stays as it is. The subject says how many there are and what the first is,
// and each has a line with its time, subject and body.
func digest(list []dated) dated {
	if len(list) == 1 {
		return list[0]
	}
	m := dated{at: list[len(list)-1].at}
	router, first := "", list[0].Subject
	if name, rest, ok := strings.Cut(first, "] "); ok && strings.HasPrefix(name, "[") {
		router, first = name+"] ", rest
	}
	m.Subject = fmt.Sprintf("%s%d alerts, the first: %s", router, len(list), first)
	m.Body = fmt.Sprintf("=> %d alerts from %s to %s <=", len(list), list[0].at.Format(time.TimeOnly), m.at.Format(time.TimeOnly))
	for i := range list[:min(len(list), digestMax)] {
		x := &list[i]
		m.more = append(m.more, fmt.Sprintf("%s %s %s", x.at.Format(time.TimeOnly), strings.TrimPrefix(x.Subject, router), x.Body))
	}
	if n := len(list) - digestMax; n > 0 {
		m.more = append(m.more, fmt.Sprintf("and %d more", n))
	}
	return m
}

// oneLine takes control characters out.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// address is the part of "Name <user@host>" that an envelope wants.
func address(s string) string {
	if a, err := mail.ParseAddress(s); err == nil {
		return a.Address
	}
	if i := strings.LastIndexByte(s, '<'); i >= 0 {
		s, _, _ = strings.Cut(s[i+1:], ">")
	}
	return strings.ReplaceAll(oneLine(s), " ", "")
}
