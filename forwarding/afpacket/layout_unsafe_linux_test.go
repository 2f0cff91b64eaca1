package afpacket

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestMmsghdrIsTheKernels: the kernel walks an array of them, so a byte too many sends
// everything but the first frame from the wrong place. Go pads a struct that ends in a
// field of no size, which showed on 32-bit machines only.
func TestMmsghdrIsTheKernels(t *testing.T) {
	word := unsafe.Sizeof(uintptr(0))
	want := (unsafe.Sizeof(unix.Msghdr{}) + 4 + word - 1) / word * word
	if got := unsafe.Sizeof(mmsghdr{}); got != want {
		t.Errorf("mmsghdr has %d bytes, struct mmsghdr has %d", got, want)
	}
}
