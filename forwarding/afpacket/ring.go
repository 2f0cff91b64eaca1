package afpacket

// The layout of a TPACKET_V2 slot (include/uapi/linux/if_packet.h, struct tpacket2_hdr):
// status 0–4, length 4–8, captured length 8–12, offset of the frame 12–14, of its network
// header 14–16, VLAN tag 24–26, VLAN TPID 26–28. The virtio_net_hdr ends where the frame
// begins.
const (
	slotStatus   = 0
	slotSnapLen  = 8
	slotMAC      = 12
	slotVLANTCI  = 24
	slotVLANTPID = 26

	statusKernel    = 0
	statusUser      = 0x01
	statusVLANValid = 0x10
	statusVLANTPID  = 0x40
)

// slotBytes is the size of a slot. A GSO frame of 64 KiB must fit behind the slot's header,
// the reserved headroom and the virtio_net_hdr, or the kernel drops it.
const slotBytes = 66 << 10

// headroom is reserved before each frame for tags and tunnel headers (PACKET_RESERVE).
const headroom = 64

// blockBytes is the unit in which the kernel allocates a ring: 15 slots in 1 MiB.
const blockBytes = 1 << 20

const slotsPerBlock = blockBytes / slotBytes

// ringBlocks returns how many blocks hold at least the given number of slots.
func ringBlocks(slots int) int { return max((slots+slotsPerBlock-1)/slotsPerBlock, 1) }

// slotOffset returns where a slot begins in the mapped ring: slots do not straddle blocks.
func slotOffset(slot int) int {
	return slot/slotsPerBlock*blockBytes + slot%slotsPerBlock*slotBytes
}

// RingBytes returns the memory that a ring of the given number of slots takes.
func RingBytes(slots int) int { return ringBlocks(slots) * blockBytes }
