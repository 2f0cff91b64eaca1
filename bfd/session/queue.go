package session

import (
	"container/heap"

	"uvs/internal/mono"
)

// noIndex is the index of a session that is not in the queue.
const noIndex = -1

// queue is a heap of sessions by their next time.
type queue []*session

// set puts a session at a time, or takes it out for 0.
func (q *queue) set(s *session, next mono.Time) {
	s.next = next
	switch {
	case next == 0 && s.index != noIndex:
		heap.Remove(q, s.index)
	case next != 0 && s.index != noIndex:
		heap.Fix(q, s.index)
	case next != 0:
		heap.Push(q, s)
	}
}

// Len, Less, Swap, Push and Pop are heap.Interface.
func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].next.Before(q[j].next) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push appends a *session.
func (q *queue) Push(x any) {
	s := x.(*session)
	s.index = len(*q)
	*q = append(*q, s)
}

// Pop takes off the last one.
func (q *queue) Pop() any {
	last := len(*q) - 1
	s := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	s.index = noIndex
	return s
}
