package conntrack

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"uvs/internal/mono"
)

// controlledTimeout is by how much the end of a template is put off while flows that it
// chose the server for are alive (ip_vs_conn_expire).
const controlledTimeout = time.Minute

// supersededPort is the virtual and server port that a template is listed with when it is
// not to be found any more (ip_vs_check_template).
const supersededPort = 0xffff

// A TemplateRef names a persistence template: the memory of which server a client, or the
// clients of a network, were sent to. Whoever has one from [Table.Template] or
// [Table.InsertTemplate] holds the template, which does not go meanwhile, and passes it on
// in a [Spec] or gives it back by [Table.LetGo]. The zero value names none.
type TemplateRef uint32

// In a template, head.packets counts who holds it (flows and callers) in the low bits, and
// its highest bit says that it is assured. Flows let go of a template under the lock of
// their own shard, not the template's, so it is only used atomically. It rises from zero
// only under the template's lock.
const (
	assuredBit = 1 << 31
	holderMask = assuredBit - 1
)

func (h *head) holders() uint32 { return atomic.LoadUint32(&h.packets) & holderMask }

func (h *head) assured() bool { return atomic.LoadUint32(&h.packets)&assuredBit != 0 }

// assure notes that a connection came about; it writes only once.
func (h *head) assure() {
	if !h.assured() {
		atomic.OrUint32(&h.packets, assuredBit)
	}
}

// headOf returns a template's entry. The caller holds the template.
func (t *Table) headOf(ref TemplateRef) *head { return t.shards[0].head(uint32(ref)) }

func (t *Table) letGo(ref TemplateRef) { atomic.AddUint32(&t.headOf(ref).packets, ^uint32(0)) }

// LetGo gives back what [Table.Template] or [Table.InsertTemplate] returned and no flow took
// over.
func (t *Table) LetGo(ref TemplateRef) {
	if ref != 0 {
		t.letGo(ref)
	}
}

// AnyProtocol is the protocol of the tuple of a template that holds for every protocol, as those
// of a firewall mark do. It is listed as 0, the IP that IPVS has there. No packet has it.
const AnyProtocol = 255

// A Template is a copy of what a persistence template says.
type Template struct {
	Ref    TemplateRef
	Server ServerID
	Dest   Endpoint
	Flags  Flags // the forwarding method and [FlagTemplate]
}

// Template looks for a template: tp has the client's address after its mask and port 0 as
// source, the virtual address and the service's port as destination; data is what else the
// service's persistence engine tells its clients apart by, nil for none. It restarts the
// template's time, timeout from now, as each new connection does. It returns false, and
// holds nothing, if there is none or usable refuses it: then the template is superseded,
// that is not found any more, and goes when its time is over and its flows have ended
// (ip_vs_check_template). usable is called with the template's shard locked.
//
// The kernel keeps the timeout in the template, and makes it a minute for good once the end
// was put off for the sake of a flow; here each connection brings its service's.
func (t *Table) Template(tp *Tuple, data []byte, timeout time.Duration, now mono.Time, usable func(ServerID) bool) (Template, bool) {
	s, tag := t.templatePlace(tp, data)
	if s.absent(tag) {
		return Template{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ref := s.lookupTemplate(tag, tp, data)
	if ref == 0 {
		return Template{}, false
	}
	if h := s.head(ref); !usable(h.server) {
		s.supersede(tag, ref, h)
		return Template{}, false
	}
	return s.hold(ref, timeout, now), true
}

// InsertTemplate adds a template with the server of spec; tp, data and timeout are as for
// [Table.Template], and data is copied. On Inserted, the caller counts it for the server; ReleasedTemplate counts
// it off. On Existed another worker was faster, and its template is returned. On Full
// nothing has changed.
func (t *Table) InsertTemplate(tp *Tuple, data []byte, spec *Spec, timeout time.Duration, now mono.Time) (Template, InsertResult) {
	s, tag := t.templatePlace(tp, data)
	s.mu.Lock()
	defer s.mu.Unlock()
	if ref := s.lookupTemplate(tag, tp, data); ref != 0 {
		return s.hold(ref, timeout, now), Existed
	}
	ref, res := t.add(s, tag, tp.V6)
	if res != Inserted {
		return Template{}, res
	}
	h := s.head(ref)
	*h = head{
		deadline: deadline(now, ticksOf(timeout)),
		server:   spec.Server,
		flags:    spec.Flags&(FlagMethod|FlagOnePacket) | FlagTemplate,
		proto:    tp.Proto,
	}
	s.fill(ref, h, tp, &spec.Dest)
	if len(data) > 0 {
		s.named(ref, data)
	}
	s.file(ref, h)
	return s.hold(ref, timeout, now), Inserted
}

// hold takes note of a new connection of the template.
func (s *shard) hold(ref uint32, timeout time.Duration, now mono.Time) Template {
	h := s.head(ref)
	d := deadline(now, ticksOf(timeout))
	sooner := d < h.deadline
	h.deadline = d
	if sooner {
		s.unfile(h)
		s.file(ref, h)
	}
	atomic.AddUint32(&h.packets, 1)
	_, _, dest := s.endpoints(ref)
	return Template{Ref: TemplateRef(ref), Server: h.server, Dest: dest, Flags: h.flags}
}

// maxTemplateData is how much of a persistence engine's data counts in the hash
// (IP_VS_PEDATA_MAXLEN).
const maxTemplateData = 255

// lookupTemplate returns the ref of the template of a key, or 0.
func (s *shard) lookupTemplate(tag uint32, tp *Tuple, data []byte) uint32 {
	x := s.index.Load()
	for i := x.seek(tag); x.slots[i].tag() == tag && x.slots[i] != 0; i++ {
		if ref := x.slots[i].ref(); s.matches(ref, tp, Original) && string(s.names[ref]) == string(data) {
			return ref
		}
	}
	return 0
}

// named keeps a copy of a template's data, which entries have no room for: few templates have
// some.
func (s *shard) named(ref uint32, data []byte) {
	if s.names == nil {
		s.names = make(map[uint32][]byte)
	}
	s.names[ref] = append([]byte(nil), data...)
}

// supersede takes a template out of the index. It stays in the wheel.
func (s *shard) supersede(tag, ref uint32, h *head) {
	s.leave(tag, ref)
	s.superseded++
	h.control = 1
	h.virtualPort, h.destPort = supersededPort, supersededPort
}

// removeTemplate ends a template that nobody holds.
func (t *Table) removeTemplate(s *shard, ref uint32, h *head) {
	if h.control != 0 {
		s.superseded--
	} else {
		client, virtual, _ := s.endpoints(ref)
		tp := Tuple{Src: client.Addr, Dst: virtual.Addr, DstPort: virtual.Port, Proto: h.proto, V6: ref&refV6 != 0}
		s.leave(uint32(t.templateHash(&tp, s.names[ref])), ref)
	}
	delete(s.names, ref)
	s.unfile(h)
	if h.server.Gen != 0 {
		t.left(h.server)
	}
	s.release(ref, h)
	t.returnCredit(s)
}

// templatePlace returns the shard and the tag of a template.
func (t *Table) templatePlace(tp *Tuple, data []byte) (*shard, uint32) {
	h := t.templateHash(tp, data)
	i, _ := bits.Mul64(h, uint64(len(t.shards)/2))
	return &t.shards[uint64(len(t.shards)/2)+i], uint32(h)
}

// templateShard reports whether the shard of that number is one of templates.
func (t *Table) templateShard(number int) bool { return number >= len(t.shards)/2 }

// templateHash digests all that a template is found by. Unlike a flow it is looked for
// from one side only, and a client may have one for each of many services.
func (t *Table) templateHash(tp *Tuple, data []byte) uint64 {
	const fixed = 52
	var key [fixed + maxTemplateData]byte
	copy(key[:16], t.secret[:])
	key[16] = tp.Proto
	binary.LittleEndian.PutUint16(key[18:], tp.DstPort)
	if tp.V6 {
		copy(key[20:36], tp.Src[:])
		copy(key[36:52], tp.Dst[:])
		return xxhash.Sum64(key[:fixed+copy(key[fixed:], data)])
	}
	copy(key[20:24], tp.Src[:4])
	copy(key[24:28], tp.Dst[:4])
	return xxhash.Sum64(key[:28+copy(key[28:], data)])
}

// Templates returns the number of templates, superseded ones included.
func (t *Table) Templates() (n int) {
	for i := range t.shards {
		s := &t.shards[i]
		if !t.templateShard(i) {
			continue
		}
		s.mu.Lock()
		n += s.live + s.superseded
		s.mu.Unlock()
	}
	return n
}
