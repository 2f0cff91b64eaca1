package hostnet

import (
	"testing"
	"time"

	"uvs/internal/mono"
)

func TestPace(t *testing.T) {
	at := func(ms int) mono.Time { return mono.Time(10 * time.Second).Add(time.Duration(ms) * time.Millisecond) }
	p := pace{last: at(-1000)}

	p.touch(at(0))
	if p.next() != at(2) {
		t.Errorf("first change after silence is due at %v, want +2ms", p.next().Sub(at(0)))
	}
	p.touch(at(1))
	if p.next() != at(2) || p.publishing(at(1)) {
		t.Error("a second change put the publication off")
	}
	if !p.publishing(at(2)) || p.publishing(at(3)) || p.next() != 0 {
		t.Error("not published once when due")
	}
	p.touch(at(4))
	if p.next() != at(52) {
		t.Errorf("the next is due at %v, want 50ms after the last", p.next().Sub(at(0)))
	}
}

func TestPaceKeepsStormsTo20ASecond(t *testing.T) {
	var p pace
	published := 0
	for ms := range 10_000 {
		now := mono.Time(time.Hour).Add(time.Duration(ms) * time.Millisecond)
		p.touch(now)
		if p.publishing(now) {
			published++
		}
	}
	if published < 195 || published > 201 {
		t.Errorf("%d snapshots in 10 s, want 200", published)
	}
}

func TestPaceRechecks(t *testing.T) {
	at := func(ms int) mono.Time { return mono.Time(time.Second).Add(time.Duration(ms) * time.Millisecond) }
	var p pace
	p.unsettled(at(0))
	if p.next() != at(250) || p.rechecking(at(249)) {
		t.Errorf("recheck is due at %v", p.next().Sub(at(0)))
	}
	p.touch(at(100))
	if p.next() != at(102) {
		t.Error("a change waits for the recheck")
	}
	if !p.publishing(at(102)) || p.next() != at(250) || !p.rechecking(at(250)) || p.rechecking(at(251)) || p.next() != 0 {
		t.Error("not rechecked once when due")
	}
}
