package load

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"uvs/internal/wire"
)

// TestFrames: each flow has an endpoint of its own, and every checksum is right.
func TestFrames(t *testing.T) {
	for _, tt := range []struct {
		name string
		s    Stream
	}{
		{"UDP", Stream{Target: netip.MustParseAddrPort("198.51.100.80:9000"), Ports: 1, Flows: 1000, Size: 64}},
		{"long UDP", Stream{Target: netip.MustParseAddrPort("198.51.100.80:9000"), Ports: 3, Flows: 600, Size: 1400}},
		{"SYN", Stream{Target: netip.MustParseAddrPort("198.51.100.80:10000"), Ports: 10000, Flows: MaxFlows, Size: 64, SYN: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := newMaker(tt.s)
			if err != nil {
				t.Fatal(err)
			}
			type endpoint struct {
				addr [4]byte
				port uint16
			}
			seen := make(map[endpoint]int)
			frame := append([]byte(nil), m.template...)
			const frames = 1200
			for n := range frames {
				m.next(frame)
				ip := wire.IPv4(frame[etherLen:])
				l4 := frame[etherLen+ipLen : etherLen+ip.TotalLen()]
				if c := wire.Checksum(frame[etherLen : etherLen+ipLen]); c != 0 {
					t.Fatalf("frame %d: IP checksum is off by %#x", n, c)
				}
				pseudo := wire.PseudoHeaderSum(ip.Source(), ip.Destination(), ip.Protocol(), len(l4))
				if c := ^wire.Sum(l4, pseudo); c != 0 {
					t.Fatalf("frame %d: transport checksum is off by %#x", n, c)
				}
				if got, want := binary.BigEndian.Uint16(l4[2:]), tt.s.Target.Port()+uint16(n%tt.s.Flows%tt.s.Ports); got != want {
					t.Fatalf("frame %d goes to port %d, want %d", n, got, want)
				}
				source, _ := netip.AddrFromSlice(ip.Source())
				if !Sources().Contains(source) {
					t.Fatalf("frame %d comes from %s, want %s", n, source, Sources())
				}
				seen[endpoint{source.As4(), binary.BigEndian.Uint16(l4)}]++
			}
			if want := min(tt.s.Flows, frames); len(seen) != want {
				t.Errorf("%d frames come from %d endpoints, want %d", frames, len(seen), want)
			}
			if len(frame) != tt.s.Size-fcsLen {
				t.Errorf("frame has %d bytes, want %d without its checksum", len(frame), tt.s.Size-fcsLen)
			}
		})
	}
}

func TestImpossibleStreams(t *testing.T) {
	good := Stream{Target: netip.MustParseAddrPort("198.51.100.80:9000"), Ports: 1, Flows: 1, Size: 64}
	for name, change := range map[string]func(*Stream){
		"no flow":         func(s *Stream) { s.Flows = 0 },
		"too many flows":  func(s *Stream) { s.Flows = MaxFlows + 1 },
		"short frame":     func(s *Stream) { s.Size = 63 },
		"long frame":      func(s *Stream) { s.Size = 1519 },
		"IPv6 target":     func(s *Stream) { s.Target = netip.MustParseAddrPort("[2001:db8::1]:9") },
		"ports past last": func(s *Stream) { s.Ports = 65536 - 9000 + 1 },
	} {
		s := good
		change(&s)
		if _, err := newMaker(s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := newMaker(good); err != nil {
		t.Error(err)
	}
}

func TestNoAllocs(t *testing.T) {
	m, err := newMaker(Stream{Target: netip.MustParseAddrPort("198.51.100.80:9000"), Ports: 1, Flows: 7, Size: 64})
	if err != nil {
		t.Fatal(err)
	}
	frame := append([]byte(nil), m.template...)
	if n := testing.AllocsPerRun(100, func() { m.next(frame) }); n != 0 {
		t.Errorf("%v allocations for a frame, want 0", n)
	}
}

func BenchmarkFrame(b *testing.B) {
	m, err := newMaker(Stream{Target: netip.MustParseAddrPort("198.51.100.80:9000"), Ports: 1, Flows: 1000000, Size: 64})
	if err != nil {
		b.Fatal(err)
	}
	frame := append([]byte(nil), m.template...)
	b.ReportAllocs()
	for b.Loop() {
		m.next(frame)
	}
}
