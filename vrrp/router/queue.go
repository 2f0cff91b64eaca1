package router

import "sync"

// A queue hands values in order to a goroutine that may take its time. Adding never waits.
// Its length is bounded by what happens while the goroutine is busy: a few effects for each
// instance and change of state.
type queue[T any] struct {
	mu     sync.Mutex // guards what follows
	more   sync.Cond
	list   []T
	closed bool
}

func newQueue[T any]() *queue[T] {
	q := &queue[T]{}
	q.more.L = &q.mu
	return q
}

func (q *queue[T]) add(v T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list = append(q.list, v)
	q.more.Signal()
}

// close lets run return when it has handed out what is there.
func (q *queue[T]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.more.Signal()
}

// run calls f with what was added since it was called last, until the queue is closed and
// empty.
func (q *queue[T]) run(f func([]T)) {
	for {
		q.mu.Lock()
		for len(q.list) == 0 && !q.closed {
			q.more.Wait()
		}
		list := q.list
		q.list = nil
		q.mu.Unlock()
		if len(list) == 0 {
			return
		}
		f(list)
	}
}
