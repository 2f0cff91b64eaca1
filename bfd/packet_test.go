package bfd_test

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"

	"uvs/bfd"
)

const (
	us = time.Microsecond
	ms = time.Millisecond
	s  = time.Second
)

// TestGoldenPackets has packets that keepalived 2.2.7 sent, and reads and writes each of them byte for byte.
func TestGoldenPackets(t *testing.T) {
	for _, tc := range []struct {
		name, wire string
		want       bfd.Packet
	}{
		{"before the peer is heard", "20400318f52602ab00000000000f424000030d4000000000", bfd.Packet{
			State: bfd.Down, Multiplier: 3, Discriminator: 0xf52602ab, MinTx: 1 * s, MinRx: 200 * ms}},
		{"answer to Down", "20800318f52602abc1f6c8a2000f424000030d4000000000", bfd.Packet{
			State: bfd.Init, Multiplier: 3, Discriminator: 0xf52602ab, YourDiscriminator: 0xc1f6c8a2, MinTx: 1 * s, MinRx: 200 * ms}},
		{"poll on coming up", "20e00518c1f6c8a2f52602ab000249f00000c35000000000", bfd.Packet{
			State: bfd.Up, Poll: true, Multiplier: 5, Discriminator: 0xc1f6c8a2, YourDiscriminator: 0xf52602ab, MinTx: 150 * ms, MinRx: 50 * ms}},
		{"answer to the poll", "20d00318f52602abc1f6c8a2000186a000030d4000000000", bfd.Packet{
			State: bfd.Up, Final: true, Multiplier: 3, Discriminator: 0xf52602ab, YourDiscriminator: 0xc1f6c8a2, MinTx: 100 * ms, MinRx: 200 * ms}},
		{"nothing heard", "214005187c8dfd1c00000000000f42400000c35000000000", bfd.Packet{
			State: bfd.Down, Diagnostic: bfd.DetectionExpired, Multiplier: 5, Discriminator: 0x7c8dfd1c, MinTx: 1 * s, MinRx: 50 * ms}},
		{"peer says down", "23400318a8d90cb87c8dfd1c000f424000030d4000000000", bfd.Packet{
			State: bfd.Down, Diagnostic: bfd.NeighborDown, Multiplier: 3, Discriminator: 0xa8d90cb8, YourDiscriminator: 0x7c8dfd1c, MinTx: 1 * s, MinRx: 200 * ms}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			wire, err := hex.DecodeString(tc.wire)
			if err != nil {
				t.Fatal(err)
			}
			got, drop := bfd.Parse(wire)
			if drop != bfd.Accepted || got != tc.want {
				t.Errorf("Parse = %+v, %v; want %+v", got, drop, tc.want)
			}
			if again := tc.want.Append(nil); !bytes.Equal(again, wire) {
				t.Errorf("Append = %x; want %x", again, wire)
			}
		})
	}
}

func TestAppendKeepsEveryField(t *testing.T) {
	want := bfd.Packet{
		State: bfd.Up, Diagnostic: 31, Poll: true, ControlPlaneIndependent: true, Demand: true, Multiplier: 255,
		Discriminator: 1<<32 - 1, YourDiscriminator: 1<<32 - 2, MinTx: (1<<32 - 1) * us, MinRx: (1<<32 - 2) * us, MinEchoRx: (1<<32 - 3) * us,
	}
	if got, drop := bfd.Parse(want.Append(nil)); drop != bfd.Accepted || got != want {
		t.Errorf("got %+v, %v; want %+v", got, drop, want)
	}
}

func TestParseDrops(t *testing.T) {
	good := (&bfd.Packet{State: bfd.Up, Multiplier: 3, Discriminator: 1, YourDiscriminator: 2, MinTx: s, MinRx: s}).Append(nil)
	set := func(at int, b ...byte) func([]byte) []byte {
		return func(p []byte) []byte { copy(p[at:], b); return p }
	}
	for _, tc := range []struct {
		name   string
		change func([]byte) []byte
		want   bfd.Drop
	}{
		{"as it is", set(0), bfd.Accepted},
		{"with bytes behind it", func(p []byte) []byte { return append(p, 1, 2, 3) }, bfd.Accepted},
		{"empty", func([]byte) []byte { return nil }, bfd.DropShort},
		{"one byte less", func(p []byte) []byte { return p[:23] }, bfd.DropShort},
		{"version 0", set(0, 0x00), bfd.DropVersion},
		{"version 2", set(0, 0x40), bfd.DropVersion},
		{"length 23", set(3, 23), bfd.DropLength},
		{"length 25 of 24", set(3, 25), bfd.DropLength},
		{"length 25 of 25", func(p []byte) []byte { p[3] = 25; return append(p, 0) }, bfd.Accepted},
		{"multiplier 0", set(2, 0), bfd.DropMultiplier},
		{"multipoint", set(1, 0xc1), bfd.DropMultipoint},
		{"discriminator 0", set(4, 0, 0, 0, 0), bfd.DropDiscriminator},
		{"up to nobody", set(8, 0, 0, 0, 0), bfd.DropYourDiscriminator},
		{"init to nobody", func(p []byte) []byte { p[1] = 0x80; return set(8, 0, 0, 0, 0)(p) }, bfd.DropYourDiscriminator},
		{"down to nobody", func(p []byte) []byte { p[1] = 0x40; return set(8, 0, 0, 0, 0)(p) }, bfd.Accepted},
		{"admin down to nobody", func(p []byte) []byte { p[1] = 0; return set(8, 0, 0, 0, 0)(p) }, bfd.Accepted},
		{"simple password", func(p []byte) []byte { p[1], p[3] = 0xc4, 28; return append(p, 1, 4, 1, 'x') }, bfd.DropAuthentication},
		{"poll and final", set(1, 0xf0), bfd.DropPollFinal},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, got := bfd.Parse(tc.change(bytes.Clone(good)))
			if got != tc.want || got != bfd.Accepted && p != (bfd.Packet{}) {
				t.Errorf("got %+v, %v; want %v", p, got, tc.want)
			}
		})
	}
}

func TestEveryDropIsNamed(t *testing.T) {
	seen := make(map[string]bfd.Drop)
	for d := range bfd.Drop(bfd.Drops) {
		if other, twice := seen[d.String()]; twice || d.String() == "unknown" {
			t.Errorf("%d and %d are both %q", other, d, d)
		}
		seen[d.String()] = d
	}
	if got := bfd.Drop(bfd.Drops).String(); got != "unknown" {
		t.Errorf("one more than there are is %q", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(nil))
	f.Add((&bfd.Packet{State: bfd.Down, Multiplier: 3, Discriminator: 1, MinTx: s, MinRx: s}).Append(nil))
	f.Add((&bfd.Packet{State: bfd.Up, Poll: true, Demand: true, Multiplier: 1, Discriminator: 1, YourDiscriminator: 2}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, drop := bfd.Parse(b)
		if drop != bfd.Accepted {
			if p != (bfd.Packet{}) {
				t.Errorf("%v, and yet %+v", drop, p)
			}
			return
		}
		again := p.Append(nil)
		b[3] = bfd.PacketLen // what is longer is written without what follows
		if !bytes.Equal(again, b[:bfd.PacketLen]) {
			t.Errorf("%x became %x", b, again)
		}
	})
}
