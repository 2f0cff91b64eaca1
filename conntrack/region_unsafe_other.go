//go:build !linux

package conntrack

import "unsafe"

// reserve takes the memory from the Go heap, so that tests run anywhere.
func reserve(size uintptr) (region, error) {
	size = pages(size)
	return region{unsafe.Pointer(unsafe.SliceData(make([]uint64, size/8))), size}, nil
}

func (r *region) unmap() error {
	*r = region{}
	return nil
}

func (r region) adviseSmall() {}
func (r region) adviseHuge()  {}
func (r region) populate()    {}
func (r region) discard()     {}
