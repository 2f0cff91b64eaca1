package afpacket

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"
)

// loadStatus reads the status word at an offset that 4 divides. It is an acquire: after it
// shows statusUser what the kernel wrote may be read.
func loadStatus(b []byte, at int) uint32 {
	_ = b[at+3]
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&b[at])))
}

// storeStatus writes the status word at an offset that 4 divides. It is a release: the
// kernel may overwrite the slot or block after it shows statusKernel.
func storeStatus(b []byte, at int, status uint32) {
	_ = b[at+3]
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&b[at])), status)
}

func slotUint32(b []byte, at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }

func slotUint16(b []byte, at int) uint16 { return binary.NativeEndian.Uint16(b[at:]) }
