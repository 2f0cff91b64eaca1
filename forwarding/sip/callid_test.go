package sip_test

import (
	"bytes"
	"strings"
	"testing"

	"uvs/forwarding/sip"
)

func TestCallID(t *testing.T) {
	const first = "INVITE sip:bob@example.org SIP/2.0\r\n"
	for _, c := range []struct{ name, message, want string }{
		{"plain", first + "To: Bob\r\nCall-ID: a84b4c76e66710@pc33.example.com\r\n\r\n", "a84b4c76e66710@pc33.example.com"},
		{"in small letters", first + "call-id:abc\r\n", "abc"},
		{"compact", first + "i : abc@192.0.2.1:5060\r\n", "abc@192.0.2.1:5060"},
		{"old line ends", "INVITE x\nCall-ID: abc\n", "abc"},
		{"all signs", first + "Call-ID: a(b)c*d+e-f.g/h[i\\j]k!l\"m%n'o:p<q>r?s_t`u{v}w~\r\n", "a(b)c*d+e-f.g/h[i\\j]k!l\"m%n'o:p<q>r?s_t`u{v}w~"},
		{"none", first + "To: Bob\r\n\r\n", ""},
		{"the first line", "Call-ID: abc\r\n\r\n", ""},
		{"another header", first + "In-Reply-To: abc\r\nimportant: abc\r\n", ""},
		{"cut", first + "Call-ID: abc", ""},
		{"a blank in it", first + "Call-ID: a bc\r\n", ""},
		{"no host", first + "Call-ID: abc@\r\n", ""},
		{"no value", first + "Call-ID:\r\n\r\n", ""},
		{"no colon", first + "Call-ID abc\r\n", ""},
		{"the second is whole", first + "Call-ID: a bc\r\nCall-ID: abc\r\n", "abc"},
		{"the longest", first + "Call-ID: " + strings.Repeat("x", 255) + "\r\n", strings.Repeat("x", 255)},
		{"too long", first + "Call-ID: " + strings.Repeat("x", 256) + "\r\n", ""},
		{"nothing", "", ""},
	} {
		if got := string(sip.CallID([]byte(c.message))); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func FuzzCallID(f *testing.F) {
	f.Add([]byte("INVITE x\r\nCall-ID: abc@host\r\n"))
	f.Add([]byte("\r\ni:"))
	f.Fuzz(func(t *testing.T, message []byte) {
		id := sip.CallID(message)
		if id == nil {
			return
		}
		if len(id) == 0 || len(id) > sip.MaxCallID || !bytes.Contains(message, id) {
			t.Fatalf("%q in %q", id, message)
		}
		if again := sip.CallID([]byte("x\r\nCall-ID: " + string(id) + "\r\n")); !bytes.Equal(again, id) {
			t.Fatalf("%q is read as %q", id, again)
		}
	})
}
