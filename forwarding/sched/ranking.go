package sched

// rankFrom is from how many servers on a set has a ranking. In a smaller one it is as fast to look
// at each.
const rankFrom = 16

// A ranking finds the least loaded server of a set of lblcr, which the kernel goes through for
// each connection. A server may be in thousands of sets, so nobody tells them when it changes: who
// asks a ranking has it catch up with the news first.
type ranking struct {
	bids   bids
	member []int32 // by place. The latest is in front, as it wins if others are equal
	front  int     // the latest one's place; nobody is before it
	place  []int32 // by member, none if it is not in the set
	read   uint64  // of the news
}

// news are the members that have changed.
type news struct {
	latest [1024]int32
	count  uint64 // since ever
}

func (n *news) add(member int32) {
	n.latest[n.count%uint64(len(n.latest))] = member
	n.count++
}

// flood has all who read the news miss some.
func (n *news) flood() { n.count += uint64(len(n.latest)) }

// rank makes the ranking of an entry's set, with room for as many more.
func (c *cache) rank(e *entry) *ranking {
	size := int(e.size)
	r := &ranking{bids: newBids(2 * size), place: make([]int32, len(c.members))}
	r.member = make([]int32, r.bids.room())
	for i := range r.place {
		r.place[i] = none
	}
	r.front = r.bids.room() - size
	p := r.front
	for n := e.first; n != 0; n = c.elements.at(n).next {
		m := c.elements.at(n).member
		r.member[p], r.place[m] = m, int32(p)
		p++
	}
	r.read = c.news.count
	c.bidAll(r)
	return r
}

// enter takes a member into a ranking as the latest one, and reports false if there is no room.
func (c *cache) enter(r *ranking, m int32) bool {
	if r.front == 0 || int(m) >= len(r.place) {
		return false
	}
	r.front--
	r.member[r.front], r.place[m] = m, int32(r.front)
	c.bid(r, r.front)
	return true
}

// catchUp has those bid again who have changed, or all if the news do not tell of so many.
func (c *cache) catchUp(r *ranking) {
	if c.news.count-r.read >= uint64(min(len(c.news.latest), len(r.member)-r.front)) {
		c.bidAll(r)
		r.read = c.news.count
		return
	}
	for ; r.read < c.news.count; r.read++ {
		if m := c.news.latest[r.read%uint64(len(c.news.latest))]; r.has(m) {
			c.bid(r, int(r.place[m]))
		}
	}
}

func (c *cache) bidAll(r *ranking) {
	for p := r.front; p < len(r.member); p++ {
		c.bid(r, p)
	}
}

// bid has the member at a place bid.
func (c *cache) bid(r *ranking, p int) {
	r.bids.put(p, c.members[r.member[p]].cost().bid(p))
}

// has reports whether a member is in the set.
func (r *ranking) has(m int32) bool { return int(m) < len(r.place) && r.place[m] != none }
