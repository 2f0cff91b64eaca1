package steer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Names in the kernel of what diverts.
const (
	divertName  = "uvs_divert"
	socketsName = "uvs_sockets"
)

// divertRoom is how many services, servers and local addresses a Diverter has room for. What
// finds none is not diverted.
const divertRoom = 4096

// A Diverter has drivers hand the plain frames of some rules to AF_XDP sockets (Rules.Diverts).
// It diverts nothing that a Steerer would not drop, so that a frame which it leaves alone, for
// whatever reason, goes the way of all others. It is owned by one goroutine.
type Diverter struct {
	maps loaded // without a program
	have Rules  // what the maps may have of it
}

// OpenDiverter makes the maps that programs on all devices share. It needs CAP_BPF.
func OpenDiverter() (*Diverter, error) {
	d := &Diverter{}
	var err1, err2, err3 error
	d.maps.services, err1 = loadMap[mapKey](dialect{}, servicesName, nil, divertRoom)
	d.maps.servers, err2 = loadMap[mapKey](dialect{}, serversName, nil, divertRoom)
	d.maps.locals, err3 = loadMap[mapAddr](dialect{}, localsName, nil, divertRoom)
	if err := cmp.Or(err1, err2, err3); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Close releases the maps. Diversions go on with them as they are.
func (d *Diverter) Close() { closeMaps(d.maps.services, d.maps.servers, d.maps.locals) }

// Narrow stops diverting what rules do not have. It belongs before they come into force for
// steering: what is still diverted is still dropped.
func (d *Diverter) Narrow(r Rules) error {
	r, err := divertRules(r)
	if err != nil {
		return err
	}
	added := without(r.Locals, d.have.Locals)
	d.have.Locals = merge(d.have.Locals, r.Locals)
	if err := fillOneByOne(d.maps.locals, addresses(added)); err != nil {
		return fmt.Errorf("divert: %w", err)
	}
	err = cmp.Or(
		empty(d.maps.servers, keys(without(d.have.Servers, r.Servers))),
		empty(d.maps.services, keys(without(d.have.Services, r.Services))),
	)
	if err != nil {
		return fmt.Errorf("divert: %w", err)
	}
	d.have.Servers = within(d.have.Servers, r.Servers)
	d.have.Services = within(d.have.Services, r.Services)
	return nil
}

// Widen diverts all that rules have. It belongs after they have come into force for steering.
func (d *Diverter) Widen(r Rules) error {
	r, err := divertRules(r)
	if err != nil {
		return err
	}
	services, servers := without(r.Services, d.have.Services), without(r.Servers, d.have.Servers)
	d.have.Services, d.have.Servers = merge(d.have.Services, r.Services), merge(d.have.Servers, r.Servers)
	err = cmp.Or(
		fillOneByOne(d.maps.services, keys(services)),
		fillOneByOne(d.maps.servers, keys(servers)),
		empty(d.maps.locals, addresses(without(d.have.Locals, r.Locals))),
	)
	if err != nil {
		return fmt.Errorf("divert: %w", err)
	}
	d.have.Locals = within(d.have.Locals, r.Locals)
	return nil
}

// divertRules returns what of rules can be diverted and has room. Without all of the local
// addresses nobody knows which frames of servers are for this host, so none are taken.
func divertRules(r Rules) (Rules, error) {
	r, err := r.normal()
	if err != nil {
		return Rules{}, err
	}
	other := func(m Match) bool { return !divertible(m.Proto) }
	n := Rules{Services: slices.DeleteFunc(r.Services, other), Servers: slices.DeleteFunc(r.Servers, other), Locals: r.Locals}
	n.Services = n.Services[:min(len(n.Services), divertRoom)]
	n.Servers = n.Servers[:min(len(n.Servers), divertRoom)]
	if len(n.Locals) > divertRoom {
		n.Servers, n.Locals = nil, nil
	}
	return n, nil
}

// merge returns what is in either of two lists.
func merge[T comparable](a, b []T) []T { return slices.Concat(a, without(b, a)) }

// within returns what of a list is in another.
func within[T comparable](list, of []T) []T { return without(list, without(list, of)) }

// A Diversion is the program at one device. It ends with the process: what it diverted then
// goes the way that steering drops.
type Diversion struct {
	prog    *ebpf.Program
	sockets *ebpf.Map
	link    link.Link
}

// Divert attaches a program to a device, in its driver. sockets are descriptors of AF_XDP
// sockets that are bound to the device's queues, in the order of these from 0 on; frames of
// other queues are not diverted. It needs Linux 5.9. A program of others stays in place: the
// error then says so, as it does for a driver without XDP.
func (d *Diverter) Divert(index int, at Doorway, sockets []int) (*Diversion, error) {
	v, err := d.load(at, len(sockets), xdpPass)
	if err != nil {
		return nil, err
	}
	for queue, fd := range sockets {
		if err := v.sockets.Put(uint32(queue), uint32(fd)); err != nil {
			return nil, errors.Join(fmt.Errorf("XDP socket of queue %d: %w", queue, err), v.Close())
		}
	}
	v.link, err = link.AttachXDP(link.XDPOptions{Program: v.prog, Interface: index, Flags: link.XDPDriverMode})
	if err != nil {
		return nil, errors.Join(attachError(err), v.Close())
	}
	return v, nil
}

// attachError says what the kernel's refusal of a program means.
func attachError(err error) error {
	switch {
	case errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST):
		return fmt.Errorf("another XDP program is attached, which stays: %w", err)
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("its driver has no XDP, or not with these settings: %w", err)
	case errors.Is(err, unix.EINVAL) || errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("needs Linux 5.9 or newer (running %s), or its driver wants other settings: %w", running(), err)
	}
	return err
}

// load makes the program of a device with room for the sockets of so many queues.
func (d *Diverter) load(at Doorway, queues int, absent int32) (*Diversion, error) {
	sockets, err := ebpf.NewMap(&ebpf.MapSpec{Name: socketsName, Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: uint32(max(queues, 1))})
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", socketsName, err)
	}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: divertName,
		Type: ebpf.XDP,
		Instructions: divertProgram(lookups{
			services:       d.maps.services.FD(),
			servers:        d.maps.servers.FD(),
			locals:         d.maps.locals.FD(),
			anyServicePort: true,
			anyServerPort:  true,
		}, sockets.FD(), at, absent),
		License: "Apache-2.0",
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("program %s: %w", divertName, err), sockets.Close())
	}
	return &Diversion{prog: prog, sockets: sockets}, nil
}

// Close takes the program off its device.
func (v *Diversion) Close() error {
	var errs []error
	if v.link != nil {
		errs = append(errs, v.link.Close())
	}
	return errors.Join(append(errs, v.prog.Close(), v.sockets.Close())...)
}
