package sched_test

import (
	"encoding/binary"
	"math"
	"testing"

	"uvs/forwarding/sched"
)

// TestByActive: schedulers for which inactive connections do not count.
func TestByActive(t *testing.T) {
	type load struct{ weight, active, inactive int }
	for _, tt := range []struct {
		name             string
		loads            []load
		sed, nq, fo, ovf string
	}{
		{"idle: the first; by weight for sed", []load{{1, 0, 9}, {2, 0, 0}}, "B", "A", "B", "B"},
		{"never queue while one is idle", []load{{100, 1, 0}, {1, 0, 0}}, "A", "B", "A", "A"},
		{"an idle one of weight 0", []load{{0, 0, 0}, {1, 1, 0}}, "B", "B", "B", "B"},
		{"the new connection counts", []load{{1, 1, 0}, {2, 2, 0}}, "B", "B", "B", "B"},
		{"ties: the first", []load{{2, 3, 0}, {2, 3, 0}, {1, 1, 0}}, "A", "A", "A", "C"},
		{"overflow at weight and one", []load{{3, 3, 0}, {2, 0, 0}}, "B", "B", "A", "A"},
		{"overflow beyond", []load{{3, 4, 0}, {2, 2, 0}, {2, 0, 0}}, "C", "C", "A", "B"},
		{"all overflow", []load{{3, 4, 0}, {2, 3, 0}}, "A", "A", "A", "-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l []*server
			for i, ld := range tt.loads {
				l = append(l, &server{name: string(rune('A' + i)), weight: ld.weight, active: ld.active, inactive: ld.inactive})
			}
			newSite(t, "sed", l...).expect("picks", tt.sed)
			newSite(t, "nq", l...).expect("picks", tt.nq)
			newSite(t, "fo", l...).expect("picks", tt.fo)
			newSite(t, "ovf", l...).expect("picks", tt.ovf)
		})
	}
}

// TestDestinationHashing: the buckets of the vectors for sh, whose hash is the same, and the
// list taken round and round.
func TestDestinationHashing(t *testing.T) {
	for _, v := range []struct {
		addr   string
		bucket int
	}{{"203.0.113.5", 185}, {"203.0.113.6", 26}, {"198.51.100.77", 103}, {"10.0.0.1", 39}, {"::cb00:7105", 185}} {
		r := sched.Request{Client: sched.End{Addr: 77, Port: 7}}
		fold := endOf(v.addr, 0).Addr
		binary.BigEndian.PutUint32(r.Virtual[:], fold)
		for _, n := range []int{1, 3, 256, 1000} {
			l := make([]*server, n)
			for i := range l {
				l[i] = &server{weight: 1 + i%7}
			}
			s := newSite(t, "dh", l...)
			if got, want := s.Pick(r), v.bucket%n; got != want {
				t.Errorf("%s with %d servers: server %d, want %d", v.addr, n, got, want)
			}
			l[v.bucket%n].overloaded = true
			if got := s.Pick(r); got != -1 {
				t.Errorf("%s with its server overloaded: server %d", v.addr, got)
			}
		}
	}
}

// TestTwoChoices: of idle servers the first drawn is taken, so choices are by weight; of
// servers of which one has more to do for its weight it is taken only if drawn twice.
func TestTwoChoices(t *testing.T) {
	const draws = 40000
	for _, tt := range []struct {
		name    string
		weights []int
		active  []int
		want    []float64
	}{
		// The first server has one chance more: 0 counts for it, too.
		{"idle", []int{1, 2, 1}, []int{0, 0, 0}, []float64{2. / 5, 2. / 5, 1. / 5}},
		{"one busy", []int{2, 2}, []int{9, 0}, []float64{9. / 25, 16. / 25}},
		{"busy for its weight", []int{2, 8}, []int{2, 4}, []float64{9. / 121, 112. / 121}},
		{"weight 0", []int{0, 3}, []int{0, 9}, []float64{0, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := weighted(tt.weights...)
			for i := range l {
				l[i].active = tt.active[i]
			}
			s := newSite(t, "twos", l...)
			got := make([]int, len(l))
			for range draws {
				got[s.Pick(sched.Request{})]++
			}
			for i, share := range tt.want {
				// Five standard deviations.
				if diff := math.Abs(float64(got[i]) - share*draws); diff > 5*math.Sqrt(draws*share*(1-share)) {
					t.Errorf("server %d got %d of %d, want %.0f", i, got[i], draws, share*draws)
				}
			}
		})
	}
}
