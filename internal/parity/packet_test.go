package parity_test

import (
	"strings"
	"testing"

	"uvs/internal/parity"
)

// TestTextMakesThePacket: what is described makes the same packet again.
func TestTextMakesThePacket(t *testing.T) {
	for _, text := range []string{
		"203.0.113.5:1001 > 192.0.2.10:80 tcp S ttl 64",
		"203.0.113.5:1001 > 192.0.2.10:80 tcp SA seq 7 ack 0 win 5 urg 9 opt 020405b4 ttl 1 tos 16 df data 100",
		"203.0.113.5:1001 > 192.0.2.10:80 tcp - ttl 64 ipopt 01010100",
		`203.0.113.5:1001 > 192.0.2.10:21 tcp PA ttl 64 data "PORT 1,2,3,4,5,6\r\n"`,
		"203.0.113.5:1001 > 192.0.2.10:80 tcp S sum 1234 ttl 64",
		"203.0.113.5:53 > 192.0.2.10:53 udp sum 0000 ttl 64 data x00ff",
		"[2001:db8:9::5]:53 > [2001:db8:2::10]:53 udp ttl 64 tos 3 flow 12345 data 7",
		"192.0.2.10 > 203.0.113.5 icmp 3/3 ttl 64 tos 192 about 203.0.113.5:53 > 192.0.2.10:53 udp ttl 64 data 7",
		"192.0.2.10 > 203.0.113.5 icmp 11/0 ttl 64 about 203.0.113.5:53 > 192.0.2.10:53 tcp - ttl 1 cut 8 data 5",
		"192.0.2.10 > 203.0.113.5 icmp 3/4 rest 1400 ttl 64 about 203.0.113.5:53 > 192.0.2.10:53 tcp A ttl 1 cut 548 data 1460",
		"2001:db8:2::10 > 2001:db8:9::5 icmp6 1/4 ttl 64 about [2001:db8:9::5]:53 > [2001:db8:2::10]:53 udp sum 0001 ttl 64 data 7",
		"192.0.2.10 > 203.0.113.5 icmp 8/0 rest 1 ttl 64 data 5",
		"198.51.100.1 > 198.51.100.11 ipip ttl 64 holds 203.0.113.5:1001 > 192.0.2.10:80 tcp S ttl 63",
		"203.0.113.5:1001 > 192.0.2.10:80 sctp 1/0 rest 77 ttl 64 data 17",
		"198.51.100.1 > 198.51.100.11 47 ttl 64 data x00000800",
	} {
		p, err := parity.ParsePacket(text)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := parity.Describe(p.Bytes()); got != text {
			t.Errorf("got  %s\nwant %s", got, text)
		}
	}
}

// TestDescribeHidesNothing: of two packets that differ by a byte, the texts differ, unless
// the byte is of the identification and the checksum is right for it.
func TestDescribeHidesNothing(t *testing.T) {
	for _, text := range []string{
		"203.0.113.5:1001 > 192.0.2.10:80 tcp A opt 01010101 ttl 64 data 10",
		"[2001:db8:9::5]:53 > [2001:db8:2::10]:53 udp ttl 64 data 7",
		"192.0.2.10 > 203.0.113.5 icmp 3/3 ttl 64 about 203.0.113.5:53 > 192.0.2.10:53 udp ttl 64 data 7",
		"192.0.2.10 > 203.0.113.5 icmp 11/0 ttl 64 about 203.0.113.5:53 > 192.0.2.10:53 tcp A ttl 1 cut 30 data 500",
	} {
		p, err := parity.ParsePacket(text)
		if err != nil {
			t.Fatal(err)
		}
		ip := p.Bytes()
		for i := range ip {
			for bit := range 8 {
				ip[i] ^= 1 << bit
				if got := parity.Describe(ip); got == text {
					t.Errorf("byte %d, bit %d of %s is hidden", i, bit, text)
				}
				ip[i] ^= 1 << bit
			}
		}
	}
}

func TestParsePacketRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"203.0.113.5 < 192.0.2.10 tcp S":              "where > should",
		"203.0.113.5 > 2001:db8::1 udp":               "two families",
		"203.0.113.5:1 > 192.0.2.10:80 tcp SX":        "FSRPAUEW",
		"203.0.113.5:1 > 192.0.2.10:80 quic":          "no protocol",
		"203.0.113.5:1 > 192.0.2.10:80 tcp S bla":     "no word",
		"203.0.113.5:1 > 192.0.2.10:80 tcp S ttl 256": "8 bits",
		"203.0.113.5 > 192.0.2.10 icmp 3":             "KIND/CODE",
	} {
		if _, err := parity.ParsePacket(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want a word about %q", text, err, want)
		}
	}
}
