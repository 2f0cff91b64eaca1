package forwarding

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"uvs/internal/mono"
	"uvs/internal/wire"
)

// A slowReassembler is the oracle: for each datagram which bytes are there, and from where.
type slowReassembler map[uint32]*slowDatagram

type slowDatagram struct {
	have  []int8 // −1: missing; else a byte
	total int    // −1: unknown
	count int
	end   int // behind the last byte
}

// add returns what becomes of a fragment, and the datagram if that is complete.
func (r slowReassembler) add(id uint32, offset int, b []byte, more bool) (reason Reason, count int, whole []byte) {
	d := r[id]
	if d == nil {
		d = &slowDatagram{total: -1}
		r[id] = d
	}
	end, present := offset+len(b), 0
	for len(d.have) < end {
		d.have = append(d.have, -1)
	}
	for i := offset; i < end; i++ {
		if d.have[i] >= 0 {
			present++
		}
	}
	contradicts := more && d.total >= 0 && end > d.total || !more && (d.total >= 0 && end != d.total || d.end > end)
	switch {
	case present == len(b):
		return DropFragmentAgain, 0, nil
	case present > 0 || contradicts:
		delete(r, id)
		return DropFragmentOverlap, d.count, nil
	}
	if !more {
		d.total = end
	}
	d.end, d.count = max(d.end, end), d.count+1
	for i, x := range b {
		d.have[offset+i] = int8(x & 0x7f)
	}
	if d.total < 0 {
		return held, 0, nil
	}
	for _, x := range d.have[:d.total] {
		if x < 0 {
			return held, 0, nil
		}
		whole = append(whole, byte(x))
	}
	delete(r, id)
	return Forwarded, d.count - 1, whole
}

// fragmentOf makes what add takes; head bytes of headers come first.
func fragmentOf(id uint32, offset int, b []byte, more bool) (*Frame, *Packet) {
	const head = wire.EthernetLen + wire.IPv4Len
	f := &Frame{Data: append(bytes.Repeat([]byte{0xaa}, head), b...)}
	p := &Packet{ipLen: len(f.Data) - wire.EthernetLen, fragment: fragment{offset: offset, more: more, id: id, head: head}}
	p.Tuple.Proto = wire.ProtoUDP
	return f, p
}

// checkReassembly feeds both with a program: four bytes for each fragment, which say datagram,
// offset, length and whether others follow.
func checkReassembly(t *testing.T, r *reassembler, into, program []byte) {
	t.Helper()
	slow := slowReassembler{}
	for n := 0; len(program) >= 4; n++ {
		id, offset, length, more := uint32(program[0]%4), int(program[1]%64)*8, int(program[2])+1, program[3]&1 != 0
		if more {
			length = (length + 7) / 8 * 8
		}
		if program[3]&6 == 6 { // beyond one block
			offset, length = offset*20, length*24
		}
		program = program[4:]
		b := make([]byte, length)
		for i := range b {
			b[i] = byte(n*31+i) & 0x7f
		}
		f, p := fragmentOf(id, offset, b, more)
		g := r.add(f, p, mono.Time(1), into)
		reason, count, whole := slow.add(id, offset, b, more)
		if g.reason != reason || g.count != count || g.evicted != 0 {
			t.Fatalf("fragment %d of datagram %d, bytes %d to %d, more %t: %s with %d others and %d evicted; want %s with %d",
				n, id, offset, offset+length, more, name(g.reason), g.count, g.evicted, name(reason), count)
		}
		if reason == Forwarded {
			const head = wire.EthernetLen + wire.IPv4Len
			if got := into[:g.length]; !bytes.Equal(got[head:], whole) || !bytes.Equal(got[:head], f.Data[:head]) {
				t.Fatalf("datagram %d of %d bytes is not what the fragments say (%d bytes)", id, g.length, len(whole))
			}
		}
		kept := 0
		for _, d := range slow {
			kept += d.count
		}
		if r.waiting() != kept {
			t.Fatalf("%d fragments are kept, want %d", r.waiting(), kept)
		}
	}
	for r.oldest != 0 {
		r.drop(r.oldest)
	}
	if r.spare != fragmentBlocks || r.next.Load() != 0 {
		t.Fatalf("%d of %d blocks are free in the end, the next datagram ends at %d", r.spare, fragmentBlocks, r.next.Load())
	}
}

func name(r Reason) string {
	if r == held {
		return "kept"
	}
	return r.String()
}

// FuzzReassembly compares the reassembler with the obvious version.
func FuzzReassembly(f *testing.F) {
	f.Add([]byte{0, 0, 7, 1, 0, 1, 7, 0})
	f.Add([]byte{0, 1, 7, 0, 0, 0, 7, 1})
	f.Add([]byte{1, 0, 15, 1, 1, 1, 7, 1, 1, 4, 7, 0, 1, 2, 15, 1})
	f.Add([]byte{2, 0, 255, 7, 2, 16, 255, 7, 2, 48, 1, 6, 2, 32, 255, 7})
	var r reassembler
	r.init()
	into := make([]byte, wholeBytes)
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) > 400 {
			return
		}
		checkReassembly(t, &r, into, program)
	})
}

// TestReassemblyAgainstTheObvious runs random programs, many of which complete datagrams.
func TestReassemblyAgainstTheObvious(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	var r reassembler
	r.init()
	into := make([]byte, wholeBytes)
	for range 300 {
		var program []byte
		for range 60 {
			program = append(program, byte(random.IntN(4)), byte(random.IntN(6)), byte(random.IntN(3)*8+7), byte(random.IntN(6)))
		}
		checkReassembly(t, &r, into, program)
	}
}

// TestReassemblyIsBounded: in datagrams, in memory and in fragments of one datagram. The
// oldest ones go, and all memory comes back.
func TestReassemblyIsBounded(t *testing.T) {
	var r reassembler
	r.init()
	into := make([]byte, wholeBytes)
	add := func(id uint32, offset, n int, more bool) gathering {
		f, p := fragmentOf(id, offset, make([]byte, n), more)
		return r.add(f, p, mono.Time(id), into)
	}
	for i := range datagramCount + 10 {
		g := add(uint32(i), 0, 8, true)
		if want := i / datagramCount; g.reason != held || g.evicted != want {
			t.Fatalf("datagram %d: %s, %d evicted, want it kept and %d", i, name(g.reason), g.evicted, want)
		}
	}
	if n := r.expire(mono.Time(int64(fragmentTime) + 20)); n != 11 {
		t.Errorf("%d datagrams expired, want those that began up to time 20 and were not evicted: 11", n)
	}
	if n := r.expire(mono.Time(int64(fragmentTime) * 2)); n != datagramCount-11 || r.spare != fragmentBlocks {
		t.Errorf("then %d expired and %d blocks are free, want %d and all", n, r.spare, datagramCount-11)
	}

	evicted := 0
	for id := range uint32(100) { // 100 datagrams of 40 blocks each
		for k := range 40 {
			evicted += add(id, k*1400, 1400, true).evicted
		}
	}
	if want := 4000 - fragmentBlocks; evicted < want || evicted > want+40 {
		t.Errorf("%d fragments of 4000 were evicted, %d fit, want whole datagrams and no more than needed", evicted, fragmentBlocks)
	}
	for r.oldest != 0 {
		r.drop(r.oldest)
	}

	for k := range fragmentCount {
		if g := add(1, k*8, 8, true); g.reason != held {
			t.Fatalf("fragment %d: %s", k, g.reason)
		}
	}
	if g := add(1, fragmentCount*8, 8, true); g.reason != DropFragmentMemory || g.count != fragmentCount {
		t.Errorf("one fragment too many: %s with %d others, want %s with all", name(g.reason), g.count, DropFragmentMemory)
	}
	if r.spare != fragmentBlocks || r.oldest != 0 {
		t.Errorf("%d blocks are free, want all", r.spare)
	}
}

// BenchmarkReassembly is what a datagram of 4000 and of 60000 bytes costs in fragments of
// 1480, put together and cut again, next to the same bytes forwarded whole.
func BenchmarkReassembly(b *testing.B) {
	for _, size := range []int{4000, 60000} {
		for _, fragments := range []bool{true, false} {
			b.Run(fmt.Sprintf("%d bytes, fragments %t", size, fragments), func(b *testing.B) {
				s := newSite(b)
				s.serve(vip4, 53, wire.ProtoUDP, Masq, 5353, 1)
				if !fragments {
					s.narrow(0, 0)
				}
				frame := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 53), protocol: wire.ProtoUDP, payload: size}.frame(b)
				pristine := [][]byte{frame}
				if fragments {
					pristine = cut4(frame, 1500, 0)
				}
				work := make([][]byte, len(pristine))
				for i := range work {
					work[i] = bytes.Clone(pristine[i])
				}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					for i := range work {
						copy(work[i], pristine[i])
						s.worker.in[i] = Frame{Data: work[i], Port: outside - 1}
					}
					s.worker.Process(s.worker.in[:len(work)], s.now, &s.worker.out)
					s.worker.out.reset(2)
				}
				if got := s.reasons()[Forwarded]; got != uint64(b.N*len(work)) {
					b.Fatalf("%d frames forwarded of %d", got, b.N*len(work))
				}
			})
		}
	}
}
