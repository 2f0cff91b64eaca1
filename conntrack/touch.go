package conntrack

import "sync/atomic"

// TouchMost is how many tuples Touch takes at once.
const TouchMost = 64

// touchFrom is from how many entries on a table does not fit into a processor's cache, 2 MiB, and
// is worth touching.
const touchFrom = 1 << 15

// Touch reads what Find is going to read for packets with these tuples, up to TouchMost, so
// that the memory is in the processor's cache by then. Find has to wait for the index before it
// can ask for the entry, and for both before it is called for the next packet; here all
// indexes are asked for together, then all entries. It takes no lock, as what it reads is
// thrown away, and does nothing while the table is small.
func (t *Table) Touch(tuples []Tuple) {
	if t.arena4.taken.Load()+t.arena6.taken.Load() < touchFrom {
		return
	}
	var looks [TouchMost]look
	for i := range tuples {
		tp := &tuples[i]
		looks[i].begin(t, tp, Original)
	}
	answers := looks[:0]
	for i := range tuples {
		if !looks[i].touch() { // an answer has the client at its other end
			var l look
			l.begin(t, &tuples[i], Reply)
			answers = append(answers, l)
		}
	}
	for i := range answers {
		answers[i].touch()
	}
}

// A look is a search that has begun.
type look struct {
	shard *shard
	index *index
	tag   uint32
}

// begin asks for the index where a packet's client has its home.
func (l *look) begin(t *Table, tp *Tuple, d Dir) {
	client, port, _, _ := tp.ends(d)
	l.shard, l.tag = t.place(tp, client, port)
	l.index = l.shard.index.Load()
	l.index.load(l.index.home(l.tag))
}

// touch asks for the entry, and reports whether there is one.
func (l *look) touch() bool {
	ref := l.ref()
	if ref != 0 && touchEntries {
		atomic.LoadUint32(&l.shard.head(ref).deadline)
	}
	return ref != 0
}

// ref returns the ref of the first entry with the tag, 0 if there is none near its home.
func (l *look) ref() uint32 {
	i := l.index.home(l.tag)
	for range maxPeek {
		v := l.index.load(i)
		if v == 0 || v.tag() > l.tag {
			return 0
		}
		if v.tag() == l.tag {
			return v.ref()
		}
		i++
	}
	return 0
}
