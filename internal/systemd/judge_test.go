package systemd_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"uvs/internal/mono"
	"uvs/internal/systemd"
)

// TestJudge looks every second; a part hangs that has not gone on for three.
func TestJudge(t *testing.T) {
	type look struct {
		after time.Duration
		beats string // one digit for each part, a to c; a blank is a part that is not there
		want  string
	}
	const s = time.Second
	for _, tt := range []struct {
		name  string
		looks []look
	}{
		{"all go on", []look{{s, "00", ""}, {s, "11", ""}, {s, "22", ""}, {s, "33", ""}, {s, "44", ""}}},
		{"one hangs and goes on again", []look{
			{s, "00", ""}, {s, "10", ""}, {s, "20", ""}, {s, "30", "b 3s"}, {s, "40", "b 4s"}, {s, "51", ""}, {s, "61", ""}, {s, "71", ""}, {s, "81", "b 3s"},
		}},
		{"two hang", []look{{s, "000", ""}, {s, "010", ""}, {s, "020", ""}, {s, "030", "a 3s c 3s"}}},
		{"slow is not hung", []look{{s, "0", ""}, {s, "0", ""}, {s, "0", ""}, {s, "1", ""}, {s, "1", ""}, {s, "1", ""}, {s, "2", ""}}},
		{"a counter may turn over", []look{{s, "9", ""}, {s, "9", ""}, {s, "9", ""}, {s, "0", ""}, {s, "0", ""}}},
		{"a part that comes later has its time", []look{{s, "0", ""}, {s, "1", ""}, {s, "2", ""}, {s, "30", ""}, {s, "40", ""}, {s, "50", ""}, {s, "60", "b 3s"}}},
		{"a part that left is forgotten", []look{{s, "00", ""}, {s, "10", ""}, {s, "20", ""}, {s, "3", ""}, {s, "40", ""}, {s, "50", ""}, {s, "60", ""}, {s, "70", "b 3s"}}},
		{"the process stood still for an hour", []look{{s, "00", ""}, {time.Hour, "00", ""}, {s, "11", ""}, {s, "22", ""}}},
		{"and one hangs afterwards", []look{{s, "00", ""}, {time.Hour, "00", ""}, {s, "10", "b 3s"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := systemd.NewJudge(3*s, s)
			now := mono.Now()
			for i, l := range tt.looks {
				now = now.Add(l.after)
				var pulses []systemd.Pulse
				for n, r := range l.beats {
					pulses = append(pulses, systemd.Pulse{Part: string(rune('a' + n)), Beats: uint64(r)})
				}
				var got []string
				for _, h := range j.Look(now, pulses) {
					got = append(got, fmt.Sprint(h.Part, " ", h.For))
				}
				if s := strings.Join(got, " "); s != l.want {
					t.Errorf("look %d: %q hang, want %q", i+1, s, l.want)
				}
			}
		})
	}
}
