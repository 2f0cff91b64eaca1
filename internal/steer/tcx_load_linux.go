package steer

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// loadProgram loads the program for the matches of rules that come from normal. The
// maps live as long as the program.
func loadProgram(r Rules) (*ebpf.Program, error) {
	services, err1 := loadMap(servicesName, keys(r.Services))
	servers, err2 := loadMap(serversName, keys(r.Servers))
	locals, err3 := loadMap(localsName, addresses(r.Locals))
	defer closeMaps(services, servers, locals) // the program holds them
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:       programName,
		Type:       ebpf.SchedCLS,
		AttachType: ebpf.AttachTCXIngress,
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

// loadMap returns a map with the keys that nobody can change any more, or nil
// without keys.
func loadMap[K mapKey | mapAddr](name string, keys []K) (*ebpf.Map, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name:       name,
		Type:       ebpf.Hash,
		KeySize:    uint32(len(keys[0])),
		ValueSize:  1,
		MaxEntries: 2 * uint32(len(keys)), // at most half full: short chains
		Flags:      unix.BPF_F_RDONLY_PROG,
	})
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", name, err)
	}
	_, err = m.BatchUpdate(keys, make([]uint8, len(keys)), nil)
	if err == nil {
		err = m.Freeze()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map %s with %d entries: %w", name, len(keys), err), m.Close())
	}
	return m, nil
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
