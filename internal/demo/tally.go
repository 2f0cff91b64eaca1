package demo

import "time"

// cellTime is the width of a timeline's cell.
const cellTime = 250 * time.Millisecond

// rateCells is over how many whole cells the rates are: one second.
const rateCells = int(time.Second / cellTime)

// A tally counts requests by the time they ended and by who answered. It is owned by one
// goroutine.
type tally struct {
	start    time.Time
	servers  int
	cells    []cell
	requests int
	failed   int
}

// A cell is what ended in one stretch of time.
type cell struct {
	answered []int // by server
	failed   int
}

func newTally(start time.Time, servers int) *tally { return &tally{start: start, servers: servers} }

// add counts requests; those that ended before the start are left out.
func (t *tally) add(rs []request) {
	for _, r := range rs {
		if r.end.Before(t.start) {
			continue
		}
		c := t.cell(int(r.end.Sub(t.start) / cellTime))
		t.requests++
		if i := serverIndex(r.server, t.servers); r.err == nil && i >= 0 {
			c.answered[i]++
			continue
		}
		t.failed++
		c.failed++
	}
}

func (t *tally) cell(n int) *cell {
	for len(t.cells) <= n {
		t.cells = append(t.cells, cell{answered: make([]int, t.servers)})
	}
	return &t.cells[n]
}

// serverIndex is the way back from serverName; -1 for a name of no server.
func serverIndex(name string, servers int) int {
	for i := range servers {
		if name == serverName(i) {
			return i
		}
	}
	return -1
}

// A picture is what is shown of a load at one moment.
type picture struct {
	elapsed  time.Duration
	requests int // since the start
	failed   int // of them
	failing  int // requests in the last second
	misses   []int
	servers  []serverPicture
}

// A serverPicture is one server's part of a picture.
type serverPicture struct {
	name    string
	inTable bool
	rate    int   // answers in the last second
	cells   []int // answers by cell since the start, whole cells only
}

// share returns the part of all answers of the last second, from 0 to 1.
func (p *picture) share(i int) float64 {
	sum := 0
	for _, s := range p.servers {
		sum += s.rate
	}
	if sum == 0 {
		return 0
	}
	return float64(p.servers[i].rate) / float64(sum)
}

// picture shows the tally at a time; inTable says who is in the director's table.
func (t *tally) picture(now time.Time, inTable []bool) picture {
	whole := int(now.Sub(t.start) / cellTime)
	if whole > 0 {
		t.cell(whole - 1) // where nothing ended is a cell too
	}
	p := picture{elapsed: now.Sub(t.start), requests: t.requests, failed: t.failed}
	for _, c := range t.cells[:whole] {
		p.misses = append(p.misses, c.failed)
	}
	p.failing = lastSecond(p.misses)
	for i := range t.servers {
		s := serverPicture{name: serverName(i), inTable: inTable[i]}
		for _, c := range t.cells[:whole] {
			s.cells = append(s.cells, c.answered[i])
		}
		s.rate = lastSecond(s.cells)
		p.servers = append(p.servers, s)
	}
	return p
}

// lastSecond sums the last cells, scaled to a second while there are fewer.
func lastSecond(cells []int) int {
	n := min(rateCells, len(cells))
	if n == 0 {
		return 0
	}
	sum := 0
	for _, c := range cells[len(cells)-n:] {
		sum += c
	}
	return sum * rateCells / n
}
