package health

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"hash"
	"math"
	"strconv"
)

// maxHeader bounds what is kept of an answer. keepalived takes 4095 bytes of header.
const maxHeader = 64 << 10

// noLength stands for an answer without a usable Content-Length.
const noLength = -1

// An answer is an HTTP answer that arrives in pieces. Its header is kept until it is
// whole, its body is only counted and digested. It is not net/http's reader because the
// judgement is keepalived's: a status line is anything whose second word is three
// digits and a blank, header lines may be nonsense, and a chunked body is digested as it
// stands on the wire.
type answer struct {
	header   []byte // until whole
	whole    bool   // the blank line was seen
	status   int    // 0: none that keepalived would accept
	length   int64  // Content-Length, or noLength
	received int64  // bytes of body
	sum      hash.Hash
	search   bool // the body is kept, as far as it is searched
	body     []byte
}

func newAnswer(u *URL) *answer {
	a := &answer{length: noLength, search: u.Regex != nil}
	if u.Digest != (Digest{}) {
		a.sum = md5.New()
	}
	return a
}

// add takes the next piece of the stream. It keeps nothing of p.
func (a *answer) add(p []byte) {
	if a.whole {
		a.addBody(p)
		return
	}
	seen := max(len(a.header)-3, 0) // the blank line may lie across two pieces
	a.header = append(a.header, p...)
	end := bytes.Index(a.header[seen:], []byte("\r\n\r\n"))
	if end < 0 {
		return
	}
	head, body := a.header[:seen+end+4], a.header[seen+end+4:]
	a.whole, a.status, a.length = true, statusCode(head), contentLength(head)
	a.addBody(body)
	a.header = nil
}

// addBody counts body bytes and digests those within Content-Length.
func (a *answer) addBody(p []byte) {
	if a.sum != nil {
		part := p
		if a.length != noLength {
			part = p[:min(int64(len(p)), max(a.length-a.received, 0))]
		}
		a.sum.Write(part)
	}
	if a.search {
		a.body = append(a.body, p[:min(len(p), MaxSearched-len(a.body))]...)
	}
	a.received += int64(len(p))
}

// overlong reports that the header will not be whole within bounds.
func (a *answer) overlong() bool { return !a.whole && len(a.header) > maxHeader }

// judge compares an answer that has ended with what u asks for.
func (a *answer) judge(u URL) Outcome {
	switch {
	case a.overlong():
		return failure(NoData, fmt.Errorf("no end of header in %d bytes", maxHeader))
	case !a.whole && len(a.header) == 0:
		return failure(NoData, errors.New("empty answer"))
	case !a.whole:
		return failure(NoData, errors.New("answer ends in its header"))
	case a.status == 0:
		return failure(StatusMismatch, errors.New("answer without a status code"))
	case !u.Status.Has(a.status):
		return failure(StatusMismatch, fmt.Errorf("HTTP status code %d", a.status))
	}
	o := Outcome{Verdict: Success}
	if a.length != noLength {
		o.Announced, o.Received = a.length, a.received
	}
	if a.sum != nil && u.Digest != Digest(a.sum.Sum(nil)) {
		o.Verdict, o.Reason = Failure, DigestMismatch
		o.Err = fmt.Errorf("MD5 digest %x", a.sum.Sum(nil))
	}
	if o.Verdict == Success && u.Regex != nil && !u.Regex.Fits(a.body) {
		o.Verdict, o.Reason, o.Err = Failure, RegexMismatch, errors.New("regex does not match")
		if u.Regex.NoMatch {
			o.Err = errors.New("regex matches")
		}
	}
	return o
}

// statusCode returns the code after the first blank of the first line: three digits and
// a blank, else 0. keepalived 2.2.7, lib/html.c, extract_status_code.
func statusCode(head []byte) int {
	line, _, _ := bytes.Cut(head, []byte("\r"))
	_, rest, found := bytes.Cut(line, []byte(" "))
	if !found || len(rest) < 4 || rest[3] != ' ' {
		return 0
	}
	code := 0
	for _, digit := range rest[:3] {
		if digit < '0' || digit > '9' {
			return 0
		}
		code = code*10 + int(digit-'0')
	}
	return code
}

// contentLength returns the value of the first Content-Length line, or noLength if
// there is none or it is no number. keepalived knows only this very spelling of the
// name; here case does not matter, as RFC 9110, Section 5.1, has it.
func contentLength(head []byte) int64 {
	_, rest, _ := bytes.Cut(head, []byte("\n"))
	for line := range bytes.Lines(rest) {
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found || !bytes.EqualFold(name, []byte("Content-Length")) {
			continue
		}
		n, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 64)
		if err != nil || n > math.MaxInt64 {
			return noLength
		}
		return int64(n)
	}
	return noLength
}
