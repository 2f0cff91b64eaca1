package conntrack_test

import (
	"testing"
	"time"

	"uvs/conntrack"
)

// TestOnce: the flow of one packet has all that a flow has, and nobody else sees it.
func TestOnce(t *testing.T) {
	table := newTable(t, conntrack.Config{Released: func(conntrack.ServerID, bool) { t.Error("a flow that no table had was released") }})
	once := conntrack.NewOnce()
	var f conntrack.Flow
	for i, ends := range [][2]string{
		{"203.0.113.5:40000", "192.0.2.1:53"}, {"203.0.113.5:40000", "192.0.2.1:53"}, {"[2001:db8::5]:40000", "[2001:db8:1::1]:53"},
	} {
		tp := tuple(udp, ends[0], ends[1])
		dest := conntrack.Endpoint{Addr: tp.Dst, Port: uint16(5300 + i)}
		spec := conntrack.Spec{Server: conntrack.ServerID{Slot: 3, Gen: 1}, Dest: dest, Flags: conntrack.Route | conntrack.FlagNoOutput, Link: 7}
		table.Once(once, tp, &spec, &f)
		if change := f.Advance(0, start); change != 0 {
			t.Errorf("packet %d: %d became active", i, change)
		}
		if f.Dir() != conntrack.Original || f.State() != conntrack.UDP || f.Server() != spec.Server || f.Dest() != dest ||
			f.Client() != (conntrack.Endpoint{Addr: tp.Src, Port: tp.SrcPort}) || f.Virtual() != (conntrack.Endpoint{Addr: tp.Dst, Port: tp.DstPort}) ||
			f.Link() != 7 || f.Flags().Method() != conntrack.Route || f.Flags()&conntrack.FlagOnePacket == 0 || f.Controlled() {
			t.Errorf("packet %d: flow of server %v from %v to %v at %v, state %v, flags %#x", i, f.Server(), f.Client(), f.Virtual(), f.Dest(), f.State(), f.Flags())
		}
		f.Unlock()
		if table.Find(tp, &f) || table.Len() != 0 {
			t.Errorf("packet %d: the table has %d flows", i, table.Len())
		}
		table.Each(start, func(e *conntrack.Entry) bool { t.Errorf("listed: %+v", e); return true })
	}
	table.Expire(start.Add(24*time.Hour), 1<<20)
}
