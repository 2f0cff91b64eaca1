package conntrack

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a transparent huge page where it matters (x86-64, arm64 with
// 4 KiB pages). Elsewhere the advice is about a stretch of another size, no worse.
const hugePage = 2 << 20

// A region is zeroed memory outside the Go heap. Pages exist once they are written to.
type region struct {
	base unsafe.Pointer
	size uintptr
}

// reserve maps size bytes, aligned to hugePage if they are that many. No memory and, unless
// the host forbids overcommitting, no promise of memory is taken for it.
func reserve(size uintptr) (region, error) {
	const (
		prot  = unix.PROT_READ | unix.PROT_WRITE
		flags = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE
	)
	size = pages(size)
	slack := uintptr(0)
	if size >= hugePage {
		slack = hugePage
	}
	p, err := unix.MmapPtr(-1, 0, nil, size+slack, prot, flags)
	if err != nil {
		return region{}, os.NewSyscallError("mmap", err)
	}
	lead := -uintptr(p) & (hugePage - 1)
	if slack == 0 {
		return region{p, size}, nil
	}
	// Give back what the alignment left over on either side.
	if lead > 0 {
		unmap(p, lead)
	}
	if slack > lead {
		unmap(unsafe.Add(p, lead+size), slack-lead)
	}
	return region{unsafe.Add(p, lead), size}, nil
}

// pages rounds size up to whole pages.
func pages(size uintptr) uintptr {
	page := uintptr(os.Getpagesize())
	return (size + page - 1) &^ (page - 1)
}

func unmap(p unsafe.Pointer, size uintptr) error {
	return os.NewSyscallError("munmap", unix.MunmapPtr(p, size))
}

// unmap ends the region. Views of it must not be used any more.
func (r *region) unmap() error {
	if r.base == nil {
		return nil
	}
	base, size := r.base, r.size
	*r = region{}
	return unmap(base, size)
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

// Advice is only that: a kernel without transparent huge pages refuses it, harmlessly.

// adviseSmall asks for small pages, so that a touch costs one of them, in the whole region.
func (r region) adviseSmall() { r.advise(0, r.size, unix.MADV_NOHUGEPAGE) }

// adviseHuge asks for huge pages from off on, for a user about to fill size bytes.
func (r region) adviseHuge(off, size uintptr) {
	if off < r.size {
		r.advise(off, min(size, r.size-off), unix.MADV_HUGEPAGE)
	}
}

// discard gives the memory back and keeps the addresses, which then read as zeros.
func (r region) discard() { r.advise(0, r.size, unix.MADV_DONTNEED) }

func (r region) advise(off, size uintptr, advice int) {
	_ = unix.Madvise(unsafe.Slice((*byte)(unsafe.Add(r.base, off)), size), advice)
}
