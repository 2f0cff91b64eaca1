package vrrp

import (
	"strings"
	"testing"
)

// No word of a rejection holds a password.
func TestRejectionKeepsPasswords(t *testing.T) {
	for _, auth := range []Auth{AuthPass, AuthAH} {
		i := withAuth(auth, "0urPassw")
		m := sending(i)
		copy(m.Password[:], "the1rPwd")
		var r receiver
		_, rej := r.accept(i, deliver(i, m))
		if rej == nil {
			t.Fatal("taken")
		}
		words := strings.Join([]string{rej.Theirs, rej.Ours, rej.String(), rej.Keepalived("VI"), rej.Cause.String()}, " ")
		if strings.Contains(words, "0urPassw") || strings.Contains(words, "the1rPwd") {
			t.Errorf("%v: %s", auth, words)
		}
	}
}

func TestCauseLabels(t *testing.T) {
	labels := make(map[string]Cause)
	for c := range causes {
		label := c.String()
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Errorf("cause %d: label %q", c, label)
		}
		if before, twice := labels[label]; twice {
			t.Errorf("causes %d and %d: label %q", before, c, label)
		}
		labels[label] = c
		if causeWords[c].phrase == "" {
			t.Errorf("%v: no phrase", c)
		}
	}
	if got := (&Rejection{Cause: CauseOwn, Theirs: "10.9.0.1"}).String(); got != "own packet from 10.9.0.1 came back" {
		t.Errorf("own packet: %q", got)
	}
}

func TestRejectionOfManyAddresses(t *testing.T) {
	i := version3()
	i.Addresses = addrList("10.9.0.1 10.9.0.2 10.9.0.3 10.9.0.4 10.9.0.5 10.9.0.6 10.9.0.7")
	m := sending(i)
	m.Addresses = addrList("10.9.0.1 10.9.0.1 10.9.0.1 10.9.0.1 10.9.0.1 10.9.0.1 10.9.0.1")
	var r receiver
	_, rej := r.accept(i, deliver(i, m))
	const want = "addresses differ: only theirs none, only ours 10.9.0.2 10.9.0.3 10.9.0.4 10.9.0.5 and 2 more"
	if told(rej) != want {
		t.Errorf("%q, want %q", told(rej), want)
	}
}

// Options of IPv4 count in keepalived's lengths.
func TestRejectionLengthWithOptions(t *testing.T) {
	i := version2()
	p := deliver(i, sending(i))
	p.Header = append(p.Header[:20:20], 148, 4, 0, 0) // router alert
	p.Header[0]++
	p.Payload = p.Payload[:len(p.Payload)-1]
	var r receiver
	const want = "(VI) vrrp packet too short, length 47 and expect 48"
	if _, rej := r.accept(i, p); rej == nil || rej.Keepalived("VI") != want {
		t.Errorf("%v, want %q", rej, want)
	}
}
