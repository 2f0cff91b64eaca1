package demo

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"uvs/internal/netlab"
)

// A nsID is what tells a namespace from all others that live at the same time.
type nsID struct{ dev, ino uint64 }

// traces are what a site is in the eyes of the kernel: network namespaces, and the
// processes in them.
type traces struct {
	spaces    map[nsID]string // to the host's name
	processes []string        // as /proc/PID/ns/net
}

// tracesOf looks at a site that lives.
func tracesOf(site *netlab.Site) (*traces, error) {
	t := &traces{spaces: make(map[nsID]string)}
	for _, h := range site.Hosts() {
		id, err := namespaceAt(h.NetPath())
		if err != nil {
			return nil, fmt.Errorf("host %s: %w", h.Name(), err)
		}
		t.spaces[id] = h.Name()
	}
	t.processes = t.among(glob("/proc/[0-9]*/ns/net"))
	return t, nil
}

// left returns what is still there: processes of the site, and threads and descriptors of
// ours that hold a namespace. Other processes are not looked at, as the kernel may by now
// have given the numbers to somebody's new namespaces.
func (t *traces) left() []string {
	ours := append(glob("/proc/self/task/[0-9]*/ns/net"), glob("/proc/self/fd/[0-9]*")...)
	var found []string
	for _, path := range t.among(slices.Concat(t.processes, ours)) {
		id, err := namespaceAt(path)
		if err == nil {
			found = append(found, path+" of "+t.spaces[id])
		}
	}
	return found
}

// among returns those of the paths that lead to one of the namespaces. What has ended
// meanwhile does not.
func (t *traces) among(paths []string) []string {
	return slices.DeleteFunc(paths, func(path string) bool {
		id, err := namespaceAt(path)
		return err != nil || t.spaces[id] == ""
	})
}

// glob is filepath.Glob, whose only error is a malformed pattern.
func glob(pattern string) []string {
	names, err := filepath.Glob(pattern)
	if err != nil {
		panic(err)
	}
	return names
}

func namespaceAt(path string) (nsID, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nsID{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nsID{}, fmt.Errorf("%s: no inode number", path)
	}
	return nsID{uint64(st.Dev), st.Ino}, nil //nolint:unconvert // the width differs between machines
}
