package forwarding

import (
	"errors"
	"testing"
	"time"

	"uvs/internal/wire"
)

// TestMeterSteps follows the estimator through its two-second steps, by hand.
func TestMeterSteps(t *testing.T) {
	var m meter
	var raw Totals
	// A steady 1000 connections and 125000 bytes per second: 25 % after one step, 68 % after four.
	for step, want := range []Rates{
		{Connections: 250, BytesIn: 31250},
		{Connections: 437, BytesIn: 54687}, // 437.5 and 54687.5: a half goes down
		{Connections: 578, BytesIn: 72266}, // 578.125, 72265.625
		{Connections: 684, BytesIn: 85449}, // 683.59375 × 1024 + 511 >> 10; 85449.21875
	} {
		raw.add(Totals{Connections: 2000, BytesIn: 250_000})
		m.estimate(raw)
		if got := m.rates(); got != want {
			t.Errorf("step %d: %+v, want %+v", step+1, got, want)
		}
	}
	// It stands still: a quarter less each time.
	m.estimate(raw)
	if got, want := m.rates(), (Rates{Connections: 513, BytesIn: 64087}); got != want {
		t.Errorf("after a silent step: %+v, want %+v", got, want)
	}
	for range 200 {
		m.estimate(raw)
	}
	// >> 2 of a negative number rounds down, so nothing is left.
	if got := m.rates(); got != (Rates{}) {
		t.Errorf("after silence: %+v", got)
	}
}

// TestMeterRounding has what is less than a half of one per second.
func TestMeterRounding(t *testing.T) {
	for _, tt := range []struct {
		in   Totals // in two seconds
		want Rates
	}{
		{Totals{PacketsIn: 3}, Rates{}},               // 3 × 512 / 4 = 384, and 384 + 511 is below 1024
		{Totals{PacketsIn: 4}, Rates{}},               // 512 + 511
		{Totals{PacketsIn: 5}, Rates{PacketsIn: 1}},   // 640
		{Totals{PacketsOut: 8}, Rates{PacketsOut: 1}}, // 1024
		{Totals{BytesOut: 4}, Rates{}},                // 16 + 15
		{Totals{BytesOut: 5}, Rates{BytesOut: 1}},     // 20 + 15
		{Totals{BytesIn: 1 << 40}, Rates{BytesIn: 1 << 37}},
	} {
		var m meter
		m.estimate(tt.in)
		if got := m.rates(); got != tt.want {
			t.Errorf("%+v in two seconds: %+v, want %+v", tt.in, got, tt.want)
		}
	}
}

func TestMeterZero(t *testing.T) {
	var m meter
	m.estimate(Totals{PacketsIn: 2000})
	m.zero(Totals{PacketsIn: 2500})
	if got := m.rates(); got != (Rates{}) {
		t.Errorf("rates %+v after zero", got)
	}
	if got, want := m.shown(Totals{PacketsIn: 2600}), (Totals{PacketsIn: 100}); got != want {
		t.Errorf("shown %+v, want %+v", got, want)
	}
	m.estimate(Totals{PacketsIn: 4500})
	if got, want := m.rates(), (Rates{PacketsIn: 250}); got != want {
		t.Errorf("rates %+v, want %+v: what was before the zero point counts", got, want)
	}
}

// TestZero counts on two services and zeroes one, then all.
func TestZero(t *testing.T) {
	s := newSite(t)
	s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 1)
	udp := s.serve(vip4, 53, wire.ProtoUDP, Masq, 53, 1)
	s.process(outside, segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t), nil)
	s.process(outside, segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 53), protocol: wire.ProtoUDP, payload: 12}.frame(t), nil)
	s.engine.estimate()
	shown := func() (tcp, udp, server, all uint64) {
		t.Helper()
		for _, x := range s.engine.Services() {
			if x.Key.Protocol == wire.ProtoTCP {
				tcp = x.Total.BytesIn
			} else {
				udp, server = x.Total.BytesIn, x.Servers[0].Total.BytesIn
			}
		}
		total, _ := s.engine.Totals()
		return tcp, udp, server, total.BytesIn
	}
	expect := func(when string, want ...uint64) {
		t.Helper()
		if a, b, c, d := shown(); a != want[0] || b != want[1] || c != want[2] || d != want[3] {
			t.Errorf("%s: bytes of the TCP service %d, the UDP service %d, its server %d, all %d, want %d", when, a, b, c, d, want)
		}
	}
	expect("before", 40, 40, 40, 80)
	if err := s.engine.Zero(&udp); err != nil {
		t.Fatal(err)
	}
	expect("one service zeroed", 40, 0, 0, 80)
	for _, x := range s.engine.Services() {
		if zeroed := x.Key == udp; zeroed != (x.Rates == Rates{}) || zeroed != (x.Servers[0].Rates == Rates{}) {
			t.Errorf("rates of %s: %+v, of its server %+v", x.Key, x.Rates, x.Servers[0].Rates)
		}
	}
	s.process(outside, segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 53), protocol: wire.ProtoUDP, payload: 2}.frame(t), nil)
	expect("one more packet", 40, 30, 30, 110)
	if err := s.engine.Zero(nil); err != nil {
		t.Fatal(err)
	}
	expect("all zeroed", 0, 0, 0, 0)
	if _, r := s.engine.Totals(); r != (Rates{}) {
		t.Errorf("rates of all %+v", r)
	}
	if err := s.engine.Zero(&ServiceKey{vip4, 81, wire.ProtoTCP}); !errors.Is(err, ErrNoService) {
		t.Errorf("error %v for a service that is not there", err)
	}
}

// TestTotalsOutliveServices: what a deleted service counted stays in the engine's totals and
// does not come back with the service, though its server and flow do.
func TestTotalsOutliveServices(t *testing.T) {
	s := newSite(t)
	k := s.serve(vip4, 53, wire.ProtoUDP, Masq, 53, 1)
	request := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 53), protocol: wire.ProtoUDP, payload: 12}
	answer := segment{src: endpoint(server4(0), 53), dst: endpoint(client4, 40000), protocol: wire.ProtoUDP, payload: 12}
	s.process(outside, request.frame(t), nil)
	if err := s.engine.Update(func(tx *Tx) error { return tx.DeleteService(k) }); err != nil {
		t.Fatal(err)
	}
	if _, _, reason := s.process(inside, answer.frame(t), nil); reason != Forwarded {
		t.Errorf("answer of a removed server: %s", reason)
	}
	if total, _ := s.engine.Totals(); total != (Totals{Connections: 1, PacketsIn: 1, BytesIn: 40}) {
		t.Errorf("totals %+v: the service is gone, its counts are not, and what its server sends does not count", total)
	}
	s.serve(vip4, 53, wire.ProtoUDP, Masq, 53, 1)
	info := s.engine.Services()[0]
	if info.Total != (Totals{}) || info.Servers[0].Total != (Totals{}) {
		t.Errorf("a new service begins with %+v, its server with %+v", info.Total, info.Servers[0].Total)
	}
	if info.Servers[0].Inactive != 1 {
		t.Errorf("the server came back with %d flows, want its one", info.Servers[0].Inactive)
	}
	s.process(outside, request.frame(t), nil)
	info = s.engine.Services()[0]
	want := Totals{PacketsIn: 1, BytesIn: 40}
	if info.Total != want || info.Servers[0].Total != want {
		t.Errorf("the flow goes on and counts %+v, at the server %+v, want %+v", info.Total, info.Servers[0].Total, want)
	}
	if total, _ := s.engine.Totals(); total != (Totals{Connections: 1, PacketsIn: 2, BytesIn: 80}) {
		t.Errorf("totals %+v", total)
	}
}

func TestEngineTimeouts(t *testing.T) {
	s := newSite(t)
	check := func(when string, want ...time.Duration) {
		t.Helper()
		if a, b, c := s.engine.Timeouts(); a != want[0] || b != want[1] || c != want[2] {
			t.Errorf("%s: %v %v %v, want %v", when, a, b, c, want)
		}
	}
	check("default", 900*time.Second, 120*time.Second, 300*time.Second)
	if err := s.engine.SetTimeouts(time.Hour, 0, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	check("two set", time.Hour, 120*time.Second, 10*time.Second)
	if err := s.engine.SetTimeouts(time.Minute, 31*24*time.Hour+1, 0); err == nil {
		t.Error("a timeout of more than 31 days was taken")
	}
	check("one refused", time.Hour, 120*time.Second, 10*time.Second)
}
