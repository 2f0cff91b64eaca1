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

// A loaded is a program with those of its maps that change.
type loaded struct {
	*ebpf.Program
	services, servers, locals *ebpf.Map // nil without entries
}

// loadProgram loads the program for rules that come from normal, with room in its maps for
// what may be in force soon.
func loadProgram(d dialect, r Rules) (*loaded, error) {
	services, err1 := loadMap(d, servicesName, serviceKeys(r), len(r.SoonServices)+len(r.SoonFTPAddrs)+r.BriefRoom)
	servers, err2 := loadMap(d, serversName, serverKeys(r), len(r.Servers)+r.BriefRoom)
	locals, err3 := loadMap(d, localsName, addresses(r.Locals), len(r.SoonLocals))
	err := cmp.Or(err1, err2, err3)
	if err == nil && servers != nil && r.BriefRoom == 0 && !d.plain {
		err = servers.Freeze()
	}
	if err != nil {
		closeMaps(services, servers, locals)
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
			anyServicePort: slices.ContainsFunc(r.SoonServices, Match.anyPort),
			anyServerPort:  slices.ContainsFunc(r.Servers, Match.anyPort),
			ftp:            len(r.SoonFTPAddrs) > 0,
			patterns:       r.Patterns,
		}),
		License: "Apache-2.0",
	})
	if err != nil {
		closeMaps(services, servers, locals)
		return nil, fmt.Errorf("program %s: %w", programName, err)
	}
	return &loaded{prog, services, servers, locals}, nil
}

// Close releases the descriptors. What is attached goes on.
func (l *loaded) Close() error {
	closeMaps(l.services, l.servers, l.locals)
	return l.Program.Close()
}

// change brings the maps from rules to others that they prepare. A packet that both take is
// taken all the time: what is added comes first, services before locals, and what goes the
// other way round. After an error the maps are as they were, as far as they can be.
func (l *loaded) change(from, to Rules) error {
	err := l.step(from, to)
	if err != nil {
		err = errors.Join(err, l.step(to, from))
	}
	return err
}

func (l *loaded) step(from, to Rules) error {
	fromServices, toServices := serviceKeys(from), serviceKeys(to)
	fromServers, toServers := serverKeys(from), serverKeys(to)
	fromLocals, toLocals := addresses(from.Locals), addresses(to.Locals)
	return cmp.Or(
		fillOneByOne(l.services, without(toServices, fromServices)),
		fillOneByOne(l.servers, without(toServers, fromServers)),
		fillOneByOne(l.locals, without(toLocals, fromLocals)),
		empty(l.locals, without(fromLocals, toLocals)),
		empty(l.servers, without(fromServers, toServers)),
		empty(l.services, without(fromServices, toServices)),
	)
}

// loadMap returns a map with the keys and room for so many in all, or nil without room.
func loadMap[K mapKey | mapAddr](d dialect, name string, keys []K, room int) (*ebpf.Map, error) {
	if room == 0 {
		return nil, nil
	}
	spec := &ebpf.MapSpec{
		Name:       name,
		Type:       ebpf.Hash,
		KeySize:    uint32(len(*new(K))),
		ValueSize:  1,
		MaxEntries: 2 * uint32(room), // at most half full: short chains
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

// fillAtOnce adds keys to a map. It needs Linux 5.6.
func fillAtOnce[K mapKey | mapAddr](m *ebpf.Map, keys []K) error {
	if len(keys) == 0 {
		return nil
	}
	_, err := m.BatchUpdate(keys, make([]uint8, len(keys)), nil)
	return err
}

// fillOneByOne adds keys to a map.
func fillOneByOne[K mapKey | mapAddr](m *ebpf.Map, keys []K) error {
	for _, k := range keys {
		if err := m.Put(k, uint8(0)); err != nil {
			return err
		}
	}
	return nil
}

// empty takes keys out of a map. One that is not there is no error.
func empty[K mapKey | mapAddr](m *ebpf.Map, keys []K) error {
	for _, k := range keys {
		if err := m.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
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

// serviceKeys returns the keys of all services.
func serviceKeys(r Rules) []mapKey {
	k := keys(slices.Concat(r.Services, r.BriefServices))
	for _, a := range r.FTPAddrs {
		k = append(k, ftpKey(a))
	}
	return k
}

// serverKeys returns the keys of all servers.
func serverKeys(r Rules) []mapKey { return keys(slices.Concat(r.Servers, r.BriefServers)) }

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
