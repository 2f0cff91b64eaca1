package steer

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Names in the kernel, at most 15 bytes each. A program is found again by its name.
const (
	programName  = "uvs_steer"
	servicesName = "uvs_services"
	serversName  = "uvs_servers"
	localsName   = "uvs_locals"
)

// A dialect is what the kernels of a hook have in common.
type dialect struct {
	attach ebpf.AttachType // that the program is loaded for
	plain  bool            // Linux 4.5: maps are filled entry by entry, and not sealed
}

// loadProgram loads the program for the matches of rules that come from normal. The
// maps live as long as the program.
func loadProgram(d dialect, r Rules) (*ebpf.Program, error) {
	services, err1 := loadMap(d, servicesName, keys(r.Services))
	servers, err2 := loadMap(d, serversName, keys(r.Servers))
	locals, err3 := loadMap(d, localsName, addresses(r.Locals))
	defer closeMaps(services, servers, locals) // the program holds them
	if err := cmp.Or(err1, err2, err3); err != nil {
		return nil, err
	}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:       programName,
		Type:       ebpf.SchedCLS,
		AttachType: d.attach,
		Instructions: program(lookups{
			services:       descriptor(services),
			servers:        descriptor(servers),
			locals:         descriptor(locals),
			anyServicePort: slices.ContainsFunc(r.Services, Match.anyPort),
			anyServerPort:  slices.ContainsFunc(r.Servers, Match.anyPort),
		}),
		License: "Apache-2.0",
	})
	if err != nil {
		return nil, fmt.Errorf("program %s: %w", programName, err)
	}
	return prog, nil
}

// loadMap returns a map with the keys, or nil without keys. Unless the dialect is plain,
// nobody can change it any more.
func loadMap[K mapKey | mapAddr](d dialect, name string, keys []K) (*ebpf.Map, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	spec := &ebpf.MapSpec{
		Name:       name,
		Type:       ebpf.Hash,
		KeySize:    uint32(len(keys[0])),
		ValueSize:  1,
		MaxEntries: 2 * uint32(len(keys)), // at most half full: short chains
	}
	fill := fillAtOnce[K]
	if d.plain {
		fill = fillOneByOne[K]
	} else {
		spec.Flags = unix.BPF_F_RDONLY_PROG
	}
	m, err := ebpf.NewMap(spec)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", name, err)
	}
	if err := fill(m, keys); err != nil {
		return nil, errors.Join(fmt.Errorf("map %s with %d entries: %w", name, len(keys), err), m.Close())
	}
	return m, nil
}

// fillAtOnce fills and seals a map. It needs Linux 5.6.
func fillAtOnce[K mapKey | mapAddr](m *ebpf.Map, keys []K) error {
	if _, err := m.BatchUpdate(keys, make([]uint8, len(keys)), nil); err != nil {
		return err
	}
	return m.Freeze()
}

// fillOneByOne fills a map.
func fillOneByOne[K mapKey | mapAddr](m *ebpf.Map, keys []K) error {
	for _, k := range keys {
		if err := m.Put(k, uint8(0)); err != nil {
			return err
		}
	}
	return nil
}

// descriptor returns the file descriptor of a map, -1 for none.
func descriptor(m *ebpf.Map) int {
	if m == nil {
		return -1
	}
	return m.FD()
}

// closeMaps closes the maps that there are.
func closeMaps(maps ...*ebpf.Map) {
	for _, m := range maps {
		_ = m.Close() // also of nil; the kernel frees a map with its last user
	}
}

// keys returns the keys of the matches.
func keys(list []Match) []mapKey {
	k := make([]mapKey, len(list))
	for i, m := range list {
		k[i] = m.key()
	}
	return k
}

// addresses returns the keys of the addresses.
func addresses(list []netip.Addr) []mapAddr {
	k := make([]mapAddr, len(list))
	for i, a := range list {
		k[i] = a.As16()
	}
	return k
}
