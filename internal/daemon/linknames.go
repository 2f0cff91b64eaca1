package daemon

import (
	"sync"

	"uvs/internal/hostnet"
)

// linkNames finds the devices that a configuration names. A device that is given another name
// while we run, as udev's rules may do, is the same device until another one has its old name.
// Safe for use by many goroutines.
type linkNames struct {
	mu    sync.Mutex // guards bound
	bound map[string]int
}

func newLinkNames() *linkNames { return &linkNames{bound: make(map[string]int)} }

// find returns the device of a name.
func (n *linkNames) find(s *hostnet.Snapshot, name string) (hostnet.Link, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l, ok := s.LinkByName(name); ok {
		n.bound[name] = l.Index
		return l, true
	}
	index, known := n.bound[name]
	if !known {
		return hostnet.Link{}, false
	}
	l, ok := s.LinkByIndex(index)
	if !ok {
		delete(n.bound, name)
	}
	return l, ok
}

// in returns a function that finds devices in one snapshot.
func (n *linkNames) in(s *hostnet.Snapshot) linkIndex {
	return func(name string) (int, bool) {
		l, ok := n.find(s, name)
		return l.Index, ok
	}
}
