package afxdp

import (
	"strings"
	"testing"
	"time"

	"uvs/forwarding"
	"uvs/internal/mono"
)

// several is the virtio_net_hdr of a frame of several segments.
func several() forwarding.VnetHeader {
	v := make(forwarding.VnetHeader, forwarding.VnetLen)
	v[1] = 1 // VIRTIO_NET_HDR_GSO_TCPV4
	return v
}

// frames makes a frame of each letter: l for one of several segments, s for a short one, x for
// one that no chunk holds. Letters in upper case belong to another flow.
func frames(letters string) []forwarding.Frame {
	var fs []forwarding.Frame
	for _, l := range letters {
		f := forwarding.Frame{Data: datagram([]byte("hello"))}
		if strings.ToUpper(string(l)) == string(l) {
			f.Data[29] = 77 // the source address
		}
		switch strings.ToLower(string(l)) {
		case "l":
			f.Vnet = several()
		case "x":
			f.Data = append(f.Data, make([]byte, 2048)...)
		}
		fs = append(fs, f)
	}
	return fs
}

// ways splits frames as Send does, and writes q for each that goes by the queue, m for each
// that goes by sendmmsg, and a space between calls.
func ways(p *Port, letters string, now mono.Time) string {
	var b strings.Builder
	for fs := frames(letters); len(fs) > 0; {
		n, fast := p.split(fs, now)
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strings.Repeat(map[bool]string{true: "q", false: "m"}[fast], n))
		fs = fs[n:]
	}
	return b.String()
}

func TestSplit(t *testing.T) {
	p := &Port{sender: &Sender{umem: newUmem(make([]byte, 4096), 2048)}}
	for _, tt := range []struct{ frames, want string }{
		{"s", "q"},
		{"ssss", "qqqq"},
		{"l", "m"},
		{"xs", "mm"},
		{"sssl", "mmmm"},
		{"ssssl", "qqqq m"},
		{"lsssl", "mmmmm"},
		{"lssssl", "m qqqq m"},
		{"lsslssslsssss", "mmmmmmmm qqqqq"},
		{"lsss", "mmmm"},
	} {
		if got := ways(p, tt.frames, 0); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.frames, got, tt.want)
		}
	}
}

// TestSplitWhenQueued: what a flow sends after a frame that did not go by the queue waits in line
// with that, for a time; other flows do not.
func TestSplitWhenQueued(t *testing.T) {
	p := &Port{sender: &Sender{umem: newUmem(make([]byte, 4096), 2048), waiting: new(waiting)}}
	start := mono.Time(time.Hour)
	for _, tt := range []struct {
		after        time.Duration
		frames, want string
	}{
		{0, "ssss", "qqqq"},
		{0, "lssss", "mmmmm"},
		{time.Millisecond, "ssss", "mmmm"},
		{time.Millisecond, "ssssSSSS", "mmmm qqqq"},
		{settleTime - 1, "s", "m"},
		{settleTime, "s", "q"},
		{time.Second, "SSSl", "mmmm"}, // a few go with the long one, and their flow behind them
		{time.Second + time.Millisecond, "SSSS", "mmmm"},
		{2 * time.Second, "SSSlSSSS", "mmmm mmmm"},
		{3 * time.Second, "X", "m"}, // so it does behind one that no chunk holds
		{3*time.Second + time.Millisecond, "SSSSxssss", "mmmmm mmmm"},
		{4 * time.Second, "S", "q"},
	} {
		if got := ways(p, tt.frames, start.Add(tt.after)); got != tt.want {
			t.Errorf("%s after %v: %s, want %s", tt.frames, tt.after, got, tt.want)
		}
	}
}
