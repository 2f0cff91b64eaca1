package vrrp

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"uvs/internal/wire"
)

const keepalivedPackets = "testdata/keepalived-2.2.7.txt"

// keepalivedInstances are those whose adverts were captured.
func keepalivedInstances() []*Instance {
	named := func(name string, vrid uint8, i *Instance) *Instance {
		i.Name, i.VRID, i.DownTimerAdverts = name, vrid, 1
		return i
	}
	every := func(d time.Duration, i *Instance) *Instance {
		i.AdvertInterval = d
		return i
	}
	sum := func(c Checksum, i *Instance) *Instance {
		i.Checksum = c
		return i
	}
	return []*Instance{
		named("v2", 1, version2()),
		named("v2-unicast", 2, withPeer(version2())),
		named("v2-pass", 3, withAuth(AuthPass, "secret")),
		named("v2-ah", 4, withAuth(AuthAH, "secret")),
		named("v2-ah-unicast", 5, withPeer(withAuth(AuthAH, "8letters"))),
		named("v3", 6, every(250*time.Millisecond, version3())),
		named("v3-unicast", 7, withPeer(version3())),
		named("v3-unicast-old", 8, sum(ChecksumOld, withPeer(version3()))),
		named("v3-unicast-never", 9, sum(ChecksumNever, withPeer(version3()))),
		named("v3-ipv6", 10, overIPv6()),
		named("v3-ipv6-unicast", 11, every(10*time.Millisecond, withPeer(overIPv6()))),
	}
}

func findInstance(instances []*Instance, p *Packet) *Instance {
	at := 1
	if p.AH {
		at += ahLen
	}
	n := slices.IndexFunc(instances, func(i *Instance) bool { return len(p.Payload) > at && i.VRID == p.Payload[at] })
	if n < 0 {
		return nil
	}
	return instances[n]
}

// writePacket writes a packet as testdata has it.
func writePacket(p *Packet) string {
	if p.Source.Is4() {
		return hex.EncodeToString(p.Header) + hex.EncodeToString(p.Payload)
	}
	return fmt.Sprintf("%v %v %x", p.Source, p.Destination, p.Payload)
}

// readPacket reads what writePacket wrote.
func readPacket(t *testing.T, words []string) *Packet {
	t.Helper()
	b, err := hex.DecodeString(words[len(words)-1])
	if err != nil {
		t.Fatal(err)
	}
	if len(words) == 1 {
		return received(b)
	}
	return &Packet{Source: netip.MustParseAddr(words[0]), Destination: netip.MustParseAddr(words[1]), TTL: 255, Payload: b}
}

// checkKeepalivedPacket holds a packet of keepalived to what we read and send.
func checkKeepalivedPacket(t *testing.T, r *receiver, i *Instance, p *Packet) {
	t.Helper()
	a, rej := r.accept(i, p)
	if rej != nil {
		t.Errorf("%s: %v\n%s", i.Name, rej, writePacket(p))
		return
	}
	m := Message{Advert: a, Checksum: r.checksum(i), Sequence: r.highest()}
	m.Password = i.Password
	if !slices.Equal(a.Addresses, i.Addresses) || a.Interval != i.AdvertInterval || a.Priority != i.Priority && a.Priority != 0 {
		t.Errorf("%s: read as %+v", i.Name, a)
	}
	again := *p
	if i.IPv6 {
		again.Payload = m.AppendIPv6(nil, p.Source, p.Destination)
	} else {
		ip := wire.IPv4(p.Header)
		again = *received(m.AppendIPv4(nil, p.Source, p.Destination, ip.TTL(), ip.ID()))
	}
	if got, want := writePacket(&again), writePacket(p); got != want {
		t.Errorf("%s: we send\n%s, keepalived sent\n%s", i.Name, got, want)
	}
}

func TestKeepalivedPackets(t *testing.T) {
	text, err := os.ReadFile(keepalivedPackets)
	if err != nil {
		t.Fatal(err)
	}
	instances := keepalivedInstances()
	seen := make(map[string]*receiver)
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		words := strings.Fields(line)
		n := slices.IndexFunc(instances, func(i *Instance) bool { return i.Name == words[0] })
		if n < 0 {
			t.Fatalf("no instance %s", words[0])
		}
		if seen[words[0]] == nil {
			seen[words[0]] = &receiver{}
		}
		checkKeepalivedPacket(t, seen[words[0]], instances[n], readPacket(t, words[1:]))
	}
	if len(seen) != len(instances) {
		t.Errorf("packets of %d instances, want %d", len(seen), len(instances))
	}
}
