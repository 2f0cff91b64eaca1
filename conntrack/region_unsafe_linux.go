package conntrack

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// reserve maps size bytes, aligned to hugePage if they are that many. No memory and, unless
// the host forbids overcommitting, no promise of memory is taken for it.
func reserve(size uintptr) (region, error) {
	const (
		prot  = unix.PROT_READ | unix.PROT_WRITE
		flags = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE
	)
	size = pages(size)
	if size < hugePage {
		p, err := unix.MmapPtr(-1, 0, nil, size, prot, flags)
		return region{p, size}, os.NewSyscallError("mmap", err)
	}
	p, err := unix.MmapPtr(-1, 0, nil, size+hugePage, prot, flags)
	if err != nil {
		return region{}, os.NewSyscallError("mmap", err)
	}
	// Give back what the alignment leaves over on either side.
	lead := -uintptr(p) & (hugePage - 1)
	if lead > 0 {
		_ = unmap(p, lead)
	}
	_ = unmap(unsafe.Add(p, lead+size), hugePage-lead)
	return region{unsafe.Add(p, lead), size}, nil
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

// Advice is only that: a kernel that knows no huge pages, or is older than 5.14 and cannot
// populate, refuses it harmlessly.

// adviseSmall asks for small pages in the whole region: a touch then costs one of them, in
// time and in memory.
func (r region) adviseSmall() { r.advise(unix.MADV_NOHUGEPAGE) }

// adviseHuge asks for huge pages in the whole region.
func (r region) adviseHuge() { r.advise(unix.MADV_HUGEPAGE) }

// populate gets the region's memory as if it were written to.
func (r region) populate() { r.advise(unix.MADV_POPULATE_WRITE) }

// discard gives the memory back and keeps the addresses, which then read as zeros.
func (r region) discard() { r.advise(unix.MADV_DONTNEED) }

func (r region) advise(advice int) {
	_ = unix.Madvise(unsafe.Slice((*byte)(r.base), r.size), advice)
}
