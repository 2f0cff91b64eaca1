package conntrack

import (
	"os"
	"unsafe"
)

// hugePage is the size of a transparent huge page where it matters (x86-64, arm64 with
// 4 KiB pages). Elsewhere the advice is about a stretch of another size, no worse.
const hugePage = 2 << 20

// A region is zeroed memory outside the Go heap. Pages exist once they are written to.
type region struct {
	base unsafe.Pointer
	size uintptr
}

// pages rounds size up to whole pages.
func pages(size uintptr) uintptr {
	page := uintptr(os.Getpagesize())
	return (size + page - 1) &^ (page - 1)
}

// part returns the size bytes at off. Parts are not unmapped by themselves.
func (r region) part(off, size uintptr) region {
	if off+size > r.size {
		panic("conntrack: part outside its region")
	}
	return region{unsafe.Add(r.base, off), size}
}

// view returns the region as n values of T, which must have no pointers.
func view[T any](r region, n int) []T {
	if uintptr(n)*unsafe.Sizeof(*new(T)) > r.size {
		panic("conntrack: view larger than its region")
	}
	return unsafe.Slice((*T)(r.base), n)
}
