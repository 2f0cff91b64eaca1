package health

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"net/http"
	"strings"
	"testing"
)

func TestAnswer(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer string
		status int
		length int64
		body   string // what is digested
	}{
		{"plain", "HTTP/1.0 200 OK\r\nServer: x\r\n\r\nbody", 200, noLength, "body"},
		{"no header lines", "HTTP/1.0 200 OK\r\n\r\nbody", 200, noLength, "body"},
		{"no reason but its blank", "HTTP/1.1 204 \r\n\r\n", 204, noLength, ""},
		{"no blank after the code", "HTTP/1.1 200\r\n\r\n", 0, noLength, ""},
		{"two digits", "HTTP/1.1 20 OK\r\n\r\n", 0, noLength, ""},
		{"four digits", "HTTP/1.1 2000 OK\r\n\r\n", 0, noLength, ""},
		{"a sign is no digit", "HTTP/1.1 +20 OK\r\n\r\n", 0, noLength, ""},
		{"two blanks", "HTTP/1.1  200 OK\r\n\r\n", 0, noLength, ""},
		{"not HTTP, but it has a code", "ICY 200 OK\r\n\r\n", 200, noLength, ""},
		{"no blank at all", "200\r\n\r\n", 0, noLength, ""},
		{"code in the second line", "HTTP/1.1\r\nX: 200 OK\r\n\r\n", 0, noLength, ""},
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nbody", 200, 2, "bo"},
		{"length in lower case", "HTTP/1.1 200 OK\r\ncontent-length:2\r\n\r\nbody", 200, 2, "bo"},
		{"length 0", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nbody", 200, 0, ""},
		{"length beyond the body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody", 200, 9, "body"},
		{"length of another thing", "HTTP/1.1 200 OK\r\nX-Content-Length: 2\r\n\r\nbody", 200, noLength, "body"},
		{"length that is none", "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nbody", 200, noLength, "body"},
		{"negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nbody", 200, noLength, "body"},
		{"huge length", "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nbody", 200, noLength, "body"},
		{"length in the body", "HTTP/1.1 200 OK\r\n\r\nContent-Length: 1\r\n", 200, noLength, "Content-Length: 1\r\n"},
		{"nonsense in the header", "HTTP/1.1 200 OK\r\n\x00: :\nno colon\r\n\r\nbody", 200, noLength, "body"},
		{"chunks as they are", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
			200, noLength, "1\r\nx\r\n0\r\n\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for step := 1; step <= len(tc.answer); step++ {
				a := newAnswer(&URL{Digest: Digest{1}})
				for rest := []byte(tc.answer); len(rest) > 0; {
					n := min(step, len(rest))
					a.add(rest[:n])
					rest = rest[n:]
				}
				if !a.whole || a.status != tc.status || a.length != tc.length {
					t.Fatalf("in pieces of %d: status %d, length %d, want %d and %d",
						step, a.status, a.length, tc.status, tc.length)
				}
				if got, want := Digest(a.sum.Sum(nil)), Digest(md5.Sum([]byte(tc.body))); got != want {
					t.Fatalf("in pieces of %d: digest %x, want %x of %q", step, got, want, tc.body)
				}
			}
		})
	}
}

func TestStatusSet(t *testing.T) {
	var empty, set StatusSet
	set.Add(0, 100)
	set.Add(163, 165)
	set.Add(599, 9999)
	set.Add(300, 200)
	for code := -1; code < 1100; code++ {
		if got, want := empty.Has(code), code >= 200 && code < 300; got != want {
			t.Errorf("default: Has(%d) = %v", code, got)
		}
		want := code == 100 || code >= 163 && code <= 165 || code == 599
		if got := set.Has(code); got != want {
			t.Errorf("set: Has(%d) = %v", code, got)
		}
	}
}

// FuzzAnswer: however an answer is cut into pieces, the result is the same; nothing is
// counted that did not come; and where net/http understands the answer and the status
// line is as strict as keepalived wants it, both see the same code.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody"), uint(7))
	f.Add([]byte("HTTP/1.1 404 Not Found\r\nServer: x\r\n\r\n"), uint(39))
	f.Add([]byte("\r\n\r\n\r\n"), uint(1))
	f.Add([]byte("HTTP/1.1 200 \r\n\r\n"), uint(15))
	f.Fuzz(func(t *testing.T, data []byte, cut uint) {
		whole, parts := newAnswer(&URL{Digest: Digest{1}}), newAnswer(&URL{Digest: Digest{1}})
		whole.add(data)
		at := int(cut % uint(len(data)+1))
		parts.add(data[:at])
		parts.add(data[at:])
		if whole.status != parts.status || whole.length != parts.length ||
			whole.received != parts.received || whole.whole != parts.whole ||
			!bytes.Equal(whole.sum.Sum(nil), parts.sum.Sum(nil)) {
			t.Fatalf("cut at %d: %+v, in one piece %+v", at, parts, whole)
		}
		if whole.received < 0 || whole.received > int64(len(data)) || whole.status < 0 || whole.status > 999 {
			t.Fatalf("%+v of %d bytes", whole, len(data))
		}
		u := URL{Digest: Digest{1}}
		if o := whole.judge(u); o.Verdict == Success {
			t.Fatalf("an impossible digest fits: %+v", o)
		}
		if !whole.whole || whole.status < 100 || !strings.HasPrefix(string(data), "HTTP/1.") {
			return
		}
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(data)), nil)
		if err != nil {
			return
		}
		defer resp.Body.Close() //nolint:errcheck // it is in memory
		if resp.StatusCode != whole.status {
			t.Fatalf("status %d, net/http has %d", whole.status, resp.StatusCode)
		}
	})
}
