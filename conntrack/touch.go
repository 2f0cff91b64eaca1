package conntrack

import "sync/atomic"

// TouchMost is how many tuples Touch takes at once.
const TouchMost = 64

// touchFrom is from how many entries on a table does not fit into a processor's cache, 2 MiB, and
// is worth touching.
const touchFrom = 1 << 15

// Large reports whether the table is worth touching.
func (t *Table) Large() bool { return t.arena4.taken.Load()+t.arena6.taken.Load() >= touchFrom }

// Touch reads what Find is going to read for packets with these tuples, up to TouchMost, so
// that the memory is in the processor's cache by then. Find has to wait for the index before it
// can ask for the entry, and for both before it is called for the next packet; here all
// indexes are asked for together, then all entries. It takes no lock, so that what it reads is
// good for guesses only: servers has for each tuple the server of its flow, or the zero ServerID if
// there seems to be none. It may be nil.
func (t *Table) Touch(tuples []Tuple, servers *[TouchMost]ServerID) {
	var looks [TouchMost]look
	for i := range tuples {
		looks[i].begin(t, &tuples[i], Original)
	}
	var answers [TouchMost]int
	n := 0
	for i := range tuples {
		if !looks[i].touch() { // an answer has the client at its other end
			looks[i].begin(t, &tuples[i], Reply)
			answers[n] = i
			n++
		}
	}
	for _, i := range answers[:n] {
		looks[i].touch()
	}
	if servers == nil {
		return
	}
	for i := range tuples {
		servers[i] = looks[i].server()
	}
}

// A look is a search that has begun.
type look struct {
	shard *shard
	index *index
	tag   uint32
	found uint32 // the ref of an entry with the tag, 0: none
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
	l.found = l.ref()
	if l.found != 0 && touchEntries {
		atomic.LoadUint32(&l.shard.head(l.found).deadline)
	}
	return l.found != 0
}

// server returns the server of the entry.
func (l *look) server() (id ServerID) {
	if l.found != 0 && touchEntries {
		h := l.shard.head(l.found)
		id.Slot, id.Gen = atomic.LoadUint32(&h.server.Slot), atomic.LoadUint32(&h.server.Gen)
	}
	return id
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
