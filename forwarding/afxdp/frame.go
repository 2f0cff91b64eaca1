package afxdp

import (
	"encoding/binary"

	"uvs/forwarding"
	"uvs/internal/wire"
)

// length returns how many bytes a frame has on the wire, its VLAN tag included.
func length(f *forwarding.Frame) int {
	if f.VLAN.Present() {
		return len(f.Data) + wire.VLANLen
	}
	return len(f.Data)
}

// write puts a frame into b as it goes on the wire, and returns its length: with its VLAN
// tag, and with the checksum that its virtio_net_hdr says is unfinished.
func write(b []byte, f *forwarding.Frame) int {
	n, data := 0, f.Data
	if f.VLAN.Present() {
		n = copy(b, data[:wire.MACsLen])
		binary.BigEndian.PutUint16(b[n:], f.VLAN.TPID)
		binary.BigEndian.PutUint16(b[n+2:], f.VLAN.TCI)
		data = data[n:]
		n += wire.VLANLen
	}
	n += copy(b[n:], data)
	if f.Vnet.NeedsChecksum() {
		shift := n - len(f.Data) // by how much a tag moved what the offsets point to
		finish(b[shift+f.Vnet.ChecksumStart():n], b[shift+f.Vnet.ChecksumAt():])
	}
	return n
}

// finish completes a checksum whose field holds the sum of the pseudo header
// (skb_checksum_help). 0 would say that there is none, so it is written as 0xffff.
func finish(covered, field []byte) {
	sum := ^wire.Sum(covered, 0)
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(field, sum)
}

// finishable reports whether a frame's checksum, if it is unfinished, lies where one can be.
func finishable(f *forwarding.Frame) bool {
	return !f.Vnet.NeedsChecksum() ||
		f.Vnet.ChecksumStart() >= wire.EthernetLen && f.Vnet.ChecksumAt()+2 <= len(f.Data) &&
			f.Vnet.ChecksumAt() >= f.Vnet.ChecksumStart()
}
