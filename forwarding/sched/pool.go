package sched

// pageSize is how many values a pool allocates at once.
const pageSize = 64

// A pool has room for values that are named by numbers from 1 on. Values do not move.
type pool[T any] struct {
	pages []*[pageSize]T
	free  []uint32
	used  int
}

// at returns the value of that number.
func (p *pool[T]) at(n uint32) *T { return &p.pages[(n-1)/pageSize][(n-1)%pageSize] }

// take returns the number of a value that is not in use, whatever is in it.
func (p *pool[T]) take() uint32 {
	if len(p.free) == 0 {
		first := uint32(len(p.pages)*pageSize) + 1
		p.pages = append(p.pages, new([pageSize]T))
		for n := first + pageSize - 1; n >= first; n-- {
			p.free = append(p.free, n)
		}
	}
	n := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	p.used++
	return n
}

// give takes the value of that number back.
func (p *pool[T]) give(n uint32) {
	p.free = append(p.free, n)
	p.used--
}
