package ftp_test

import (
	"net/netip"
	"testing"

	"uvs/forwarding/ftp"
)

func end(text string) ftp.End {
	p := netip.MustParseAddrPort(text)
	e := ftp.End{Port: p.Port()}
	copy(e.Addr[:], p.Addr().AsSlice())
	return e
}

func TestCommand(t *testing.T) {
	for _, c := range []struct {
		payload string
		v6      bool
		kind    ftp.Kind
		end     string
	}{
		{"PASV\r\n", false, ftp.Passive, ""},
		{"pasv\r\n", false, ftp.Passive, ""},
		{"PASV\r\n", true, ftp.None, ""},
		{"PASV", false, ftp.None, ""},
		{"PASVE\r\n", false, ftp.None, ""},
		{"STOR PASV\r\n", false, ftp.None, ""},
		{"EPSV\r\n", false, ftp.Extended, ""},
		{"EPSV\r\n", true, ftp.Extended, ""},
		{"EPSV 1\r\n", false, ftp.Extended, ""},
		{"EPSV 2\r\n", false, ftp.None, ""},
		{"EPSV 2\r\n", true, ftp.Extended, ""},
		{"EPSV ALL\r\n", false, ftp.None, ""},
		{"PORT 203,0,113,5,4,1\r\n", false, ftp.Active, "203.0.113.5:1025"},
		{"port  203,0,113,5,255,255\r\n", false, ftp.Active, "203.0.113.5:65535"},
		{"PORT 203,0,113,5,4,1", false, ftp.None, ""}, // the port may go on
		{"PORT 203,0,113,256,4,1\r\n", false, ftp.None, ""},
		{"PORT 203,0,113,5,4\r\n", false, ftp.None, ""},
		{"PORT 203,0,113,5,0,0\r\n", false, ftp.None, ""},
		{"PORT 203,0,113,5,4,1\r\n", true, ftp.None, ""},
		{"EPRT |1|203.0.113.5|1025|\r\n", false, ftp.Active, "203.0.113.5:1025"},
		{"EPRT !1!203.0.113.5!1025!\r\n", false, ftp.Active, "203.0.113.5:1025"},
		{"EPRT |2|2001:db8::5|1025|\r\n", true, ftp.Active, "[2001:db8::5]:1025"},
		{"EPRT |2|2001:db8::5|1025|\r\n", false, ftp.None, ""},
		{"EPRT |1|203.0.113.5|0|\r\n", false, ftp.None, ""},
		{"EPRT |1|203.0.113.5|65536|\r\n", false, ftp.None, ""},
		{"EPRT |||1025|\r\n", false, ftp.None, ""},
		{"EPRT |1|nonsense|1025|\r\n", false, ftp.None, ""},
		{"EPRT |2|fe80::1%eth0|1025|\r\n", true, ftp.None, ""},
		{"TYPE I\r\nPASV\r\nRETR x\r\n", false, ftp.Passive, ""},
		{"PASV\r\nPORT 203,0,113,5,4,1\r\n", false, ftp.Active, "203.0.113.5:1025"},
		{"", false, ftp.None, ""},
		{"\r\n\r\n", false, ftp.None, ""},
	} {
		kind, got := ftp.Command([]byte(c.payload), c.v6)
		want := ftp.End{}
		if c.end != "" {
			want = end(c.end)
		}
		if kind != c.kind || got != want {
			t.Errorf("%q (IPv6 %t): kind %d, end %v, want %d, %v", c.payload, c.v6, kind, got, c.kind, want)
		}
	}
}

func TestReply(t *testing.T) {
	for _, c := range []struct {
		payload string
		kind    ftp.Kind
		v6      bool
		port    uint16
		span    string
	}{
		{"227 Entering Passive Mode (198,51,100,11,195,80).\r\n", ftp.Passive, false, 50000, "198,51,100,11,195,80"},
		{"227 Entering Passive Mode. 198,51,100,11,195,80\r\n", ftp.Passive, false, 50000, "198,51,100,11,195,80"},
		{"227 =198,51,100,11,195,80\r\n", ftp.Passive, false, 50000, "198,51,100,11,195,80"},
		{"227 Entering Passive Mode (198,51,100,11,195,80", ftp.Passive, false, 0, ""},
		{"227 no end in sight\r\n", ftp.Passive, false, 0, ""},
		{"227-Entering Passive Mode (198,51,100,11,195,80).\r\n", ftp.Passive, false, 0, ""},
		{"227 Entering Passive Mode (198,51,100,11,195,80).\r\n", ftp.Extended, false, 0, ""},
		{"227 Entering Passive Mode (198,51,100,11,195,80).\r\n", ftp.Active, false, 0, ""},
		{"200 Type set to I.\r\n227 Mode (198,51,100,11,195,80).\r\n", ftp.Passive, false, 50000, "198,51,100,11,195,80"},
		{"229 Entering Extended Passive Mode (|||50000|)\r\n", ftp.Extended, false, 50000, "|||50000|"},
		{"229 Entering Extended Passive Mode (|||50000|)\r\n", ftp.Extended, true, 50000, "|||50000|"},
		{"229 Entering Extended Passive Mode (|1|198.51.100.11|50000|)\r\n", ftp.Extended, false, 50000, "|1|198.51.100.11|50000|"},
		{"229 Entering Extended Passive Mode (|2|2001:db8::1|50000|)\r\n", ftp.Extended, false, 0, ""},
		{"229 ok (!!!50000!)\r\n", ftp.Extended, false, 50000, "!!!50000!"},
		{"229 Entering Extended Passive Mode (|||50000", ftp.Extended, false, 0, ""},
		{"229 Entering Extended Passive Mode (||50000|)\r\n", ftp.Extended, false, 0, ""},
		{"229 (", ftp.Extended, false, 0, ""},
	} {
		port, span, ok := ftp.Reply([]byte(c.payload), c.kind, c.v6)
		if ok != (c.port != 0) || port != c.port && ok {
			t.Errorf("%q: port %d, %t, want %d", c.payload, port, ok, c.port)
			continue
		}
		if got := c.payload[span.Start:span.End]; ok && got != c.span {
			t.Errorf("%q: the end is %q, want %q", c.payload, got, c.span)
		}
	}
}

func TestAppendEnd(t *testing.T) {
	e := end("192.0.2.10:50000")
	if got := string(ftp.AppendEnd(nil, ftp.Passive, &e)); got != "192,0,2,10,195,80" {
		t.Errorf("passive: %s", got)
	}
	if got := string(ftp.AppendEnd(nil, ftp.Extended, &e)); got != "|||50000|" {
		t.Errorf("extended: %s", got)
	}
}

// FuzzReply: whatever a server sends, the end lies within it, and what replaces it is read as
// what was written.
func FuzzReply(f *testing.F) {
	f.Add([]byte("227 Entering Passive Mode (198,51,100,11,195,80).\r\n"), uint8(ftp.Passive), false)
	f.Add([]byte("229 Entering Extended Passive Mode (|||50000|)\r\n"), uint8(ftp.Extended), true)
	f.Fuzz(func(t *testing.T, payload []byte, kind uint8, v6 bool) {
		ftp.Command(payload, v6)
		k := ftp.Kind(kind)
		port, span, ok := ftp.Reply(payload, k, v6)
		if !ok {
			return
		}
		if port == 0 || span.Start < 0 || span.Start >= span.End || span.End > len(payload) {
			t.Fatalf("port %d, span %v of %d bytes", port, span, len(payload))
		}
		e := end("192.0.2.10:6000")
		changed := append([]byte(nil), payload[:span.Start]...)
		changed = ftp.AppendEnd(changed, k, &e)
		changed = append(changed, payload[span.End:]...)
		if again, _, ok := ftp.Reply(changed, k, v6); !ok || again != 6000 {
			t.Fatalf("%q was changed to %q, which says port %d", payload, changed, again)
		}
	})
}
