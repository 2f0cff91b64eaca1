package afpacket

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"uvs/forwarding"
)

// The layout of a TPACKET_V3 block (struct tpacket_block_desc): status 8–12, number of
// frames 12–16, offset of the first one 16–20; and of a frame in it (struct tpacket3_hdr):
// offset of the next frame from this one 0–4, captured length 12–16, status 20–24, offset
// of the data 24–26, VLAN tag 32–36, VLAN TPID 36–38.
const (
	blockStatus = 8
	blockFrames = 12
	blockFirst  = 16

	frameNext     = 0
	frameSnapLen  = 12
	frameStatus   = 20
	frameMAC      = 24
	frameVLANTCI  = 32
	frameVLANTPID = 36
)

// ringV3 is a TPACKET_V3 ring. A block goes back to the kernel when all its frames have
// been handed out and released.
type ringV3 struct {
	mem   []byte
	block int // bytes of a block
	plain bool
	held  []int // by block: frames that are not released yet
	next  int   // the block that is read, or that the kernel hands over next
	at    int   // offset in it of the next frame
	left  int   // frames in it that are still to be handed out
}

func openRingV3(fd int, s Shape, memory int) (*ringV3, error) {
	if err := prepareRing(fd, unix.TPACKET_V3); err != nil {
		return nil, err
	}
	size, blocks := v3Blocks(memory)
	const unit = 2048 // only has to divide a block; frames take what they need
	err := unix.SetsockoptTpacketReq3(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &unix.TpacketReq3{
		Block_size:     uint32(size),
		Block_nr:       uint32(blocks),
		Frame_size:     unit,
		Frame_nr:       uint32(blocks * (size / unit)),
		Retire_blk_tov: blockTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("ring of %d KiB: %w", size*blocks>>10, os.NewSyscallError("setsockopt PACKET_RX_RING", err))
	}
	mem, err := mapRing(fd, size*blocks)
	if err != nil {
		return nil, err
	}
	return &ringV3{mem: mem, block: size, plain: s.Plain, held: make([]int, blocks)}, nil
}

func (r *ringV3) bytes(block int) []byte { return r.mem[block*r.block:][:r.block] }

// recv hands out the frames of blocks that are handed over, in place.
func (r *ringV3) recv(fs []forwarding.Frame) (n int, err error) { //nolint:unparam // an input may fail; a ring does not
	for n < len(fs) {
		b := r.bytes(r.next)
		if r.left == 0 && !r.begin(b) {
			break
		}
		h := b[r.at:]
		f := &fs[n]
		*f = inRing(h, int(slotUint16(h, frameMAC)), int(slotUint32(h, frameSnapLen)), r.plain,
			state{slotUint32(h, frameStatus), uint16(slotUint32(h, frameVLANTCI)), slotUint16(h, frameVLANTPID)})
		f.Slot = uint32(r.next)
		n++
		r.left--
		r.at += int(slotUint32(h, frameNext))
		if r.left == 0 {
			r.advance()
		}
	}
	return n, nil
}

// begin reports whether the next block is there, and starts to read it. A block whose
// frames are out but not all released is not.
func (r *ringV3) begin(b []byte) bool {
	if r.held[r.next] != 0 || loadStatus(b, blockStatus)&statusUser == 0 {
		return false
	}
	r.left, r.at = int(slotUint32(b, blockFrames)), int(slotUint32(b, blockFirst))
	if r.left == 0 { // the kernel hands over no such block, but nobody promises it
		storeStatus(b, blockStatus, statusKernel)
		r.advance()
		return false
	}
	r.held[r.next] = r.left
	return true
}

func (r *ringV3) advance() {
	if r.next++; r.next == len(r.held) {
		r.next = 0
	}
}

func (r *ringV3) release(fs []forwarding.Frame) {
	for i := range fs {
		block := int(fs[i].Slot)
		if r.held[block]--; r.held[block] == 0 {
			storeStatus(r.bytes(block), blockStatus, statusKernel)
		}
	}
}

func (r *ringV3) size() (slots, bytes int) {
	return len(r.held) * (r.block / v3Frame), len(r.mem)
}

func (r *ringV3) close() error { return os.NewSyscallError("munmap", unix.Munmap(r.mem)) }
