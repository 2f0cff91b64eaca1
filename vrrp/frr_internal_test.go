package vrrp

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
)

// FRR's messages are taken, also with v3_checksum_as_v2, and are the same as ours. Its IPv4
// headers are its own: any id, don't fragment.
func TestFRRPackets(t *testing.T) {
	text, err := os.ReadFile("testdata/frr-8.4.4.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		n++
		p := readPacket(t, strings.Fields(line))
		i := version3()
		i.Addresses = addrList("10.9.0.103")
		if !p.Source.Is4() {
			i = overIPv6()
			i.Addresses = addrList("2001:db8::52")
		}
		i.VRID, i.AdvertInterval = 52, 500*time.Millisecond
		for _, sum := range []Checksum{ChecksumAuto, ChecksumAsV2} {
			i.Checksum = sum
			var r receiver
			a, rej := r.accept(i, p)
			if rej != nil {
				t.Fatalf("%v\n%s", rej, line)
			}
			if a.Priority != 200 && a.Priority != 0 || a.Interval != i.AdvertInterval {
				t.Errorf("%s: read as %+v", line, a)
			}
			if got := a.Append(nil, p.Source, p.Destination, ChecksumAuto); !bytes.Equal(got, p.Payload) {
				t.Errorf("we send\n%x, FRR sent\n%x", got, p.Payload)
			}
		}
	}
	if n != 4 {
		t.Errorf("%d packets", n)
	}
}
