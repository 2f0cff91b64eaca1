package steer

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// loopbackIndex is the index of the loopback device of every network namespace.
const loopbackIndex = 1

// A hook is a place of the kernel where programs run on what a device receives. It knows
// our programs by their name.
type hook interface {
	// probe is the backend's.
	probe() error

	// dialect is what programs for the hook are loaded with.
	dialect() dialect

	// attached returns the programs of ours on a link, for the caller to close.
	attached(index int) ([]attachment, error)

	// attach has a program run on a link ahead of everybody's. ENODEV: the link is gone.
	attach(p *ebpf.Program, index int) error

	// replace puts a program in the place of one of ours, so that no packet meets both or
	// none.
	replace(old attachment, p *ebpf.Program, index int) error

	// detach takes one of ours away, with all that attach made for it. It returns a line
	// for each thing that went.
	detach(a attachment, link net.Interface) ([]string, error)

	// missing reports whether an error of attached means that the kernel has no such hook.
	missing(error) bool
}

// An attachment is a program of ours on a link.
type attachment struct {
	id     ebpf.ProgramID     // 0: the kernel does not tell
	prog   *ebpf.Program      // open, or nil where the rights to open it are missing
	filter *netlink.BpfFilter // of clsact
}

// is reports whether the attachment is of the program with that number.
func (a attachment) is(id ebpf.ProgramID) bool { return id != 0 && a.id == id }

// programs is the backend of all hooks. The programs belong to the device: they stay when
// the process dies. New matches make a new program with maps of its own, which replaces the
// one on each device atomically. That waits for a grace period of the kernel, 10 to 30 ms;
// only what rules have announced as soon to be in force is put into the maps, or taken out
// of them, as they are.
type programs struct {
	hook
	prog  *loaded // the current program; nil before the first apply
	room  Rules   // that it was loaded for
	rules Rules   // whose matches it has
}

// apply implements backend.
func (t *programs) apply(r Rules) error {
	if r.idle() {
		_, err := t.remove()
		return errors.Join(err, t.close())
	}
	prog, room := t.prog, t.room
	if prog == nil || !room.prepares(r) {
		var err error
		if prog, err = loadProgram(t.dialect(), r); err != nil {
			return err
		}
		room = r
	}
	err := t.placeAll(prog.Program, r.Links)
	if err == nil && prog == t.prog {
		err = prog.change(t.rules, r)
	}
	if err != nil {
		if prog != t.prog {
			err = errors.Join(err, prog.Close())
		}
		return err
	}
	var closed error
	if t.prog != nil && t.prog != prog {
		closed = t.prog.Close()
	}
	t.prog, t.room, t.rules = prog, room, r
	_, err = t.sweep(prog.Program, r.Links)
	return errors.Join(err, closed)
}

// remove implements backend.
func (t *programs) remove() (removed []string, err error) { return t.sweep(nil, nil) }

// close implements backend.
func (t *programs) close() error {
	if t.prog == nil {
		return nil
	}
	err := t.prog.Close()
	t.prog = nil
	return err
}

// A placement is what place did on one link.
type placement struct {
	index int
	old   attachment // what was there before; the zero attachment: nothing of ours
}

// placeAll has the program run on all the links that exist, or leaves all of them as
// they were.
func (t *programs) placeAll(prog *ebpf.Program, links []int) error {
	id, err := programID(prog)
	if err != nil {
		return err
	}
	var done []placement
	defer func() {
		for _, d := range done {
			closeAll([]attachment{d.old})
		}
	}()
	for _, index := range links {
		old, changed, err := t.place(prog, id, index)
		switch {
		case errors.Is(err, unix.ENODEV):
			continue
		case err != nil:
			return errors.Join(fmt.Errorf("interface %d: %w", index, err), t.takeBack(id, done))
		case changed:
			done = append(done, placement{index, old})
		}
	}
	return nil
}

// takeBack undoes placements of the program with that number, the last one first. Where
// the earlier program cannot be opened, the new one stays: a gap would be worse.
func (t *programs) takeBack(id ebpf.ProgramID, done []placement) error {
	var errs []error
	for _, d := range slices.Backward(done) {
		ours, err := t.attached(d.index)
		errs = append(errs, err)
		for _, a := range ours {
			switch {
			case !a.is(id):
			case d.old.prog != nil:
				errs = append(errs, t.replace(a, d.old.prog, d.index))
			case d.old.id == 0 && d.old.filter == nil:
				_, err := t.detach(a, net.Interface{Index: d.index})
				errs = append(errs, err)
			}
		}
		closeAll(ours)
	}
	return errors.Join(errs...)
}

// place has the program run on a link: in the place of an earlier one of ours if there
// is one, which it returns for the caller to close, else ahead of everybody's. It
// reports whether it had to change anything, and ENODEV when the link is gone.
func (t *programs) place(prog *ebpf.Program, id ebpf.ProgramID, index int) (old attachment, changed bool, err error) {
	ours, err := t.attached(index)
	if err != nil {
		return attachment{}, false, err
	}
	if slices.ContainsFunc(ours, func(a attachment) bool { return a.is(id) }) {
		closeAll(ours)
		return attachment{}, false, nil
	}
	if len(ours) == 0 {
		return attachment{}, true, t.attach(prog, index)
	}
	closeAll(ours[1:])
	if err := t.replace(ours[0], prog, index); err != nil {
		closeAll(ours[:1])
		return attachment{}, false, err
	}
	return ours[0], true, nil
}

// sweep detaches every program of ours in the namespace except prog on the links to
// keep, and returns what it detached.
func (t *programs) sweep(prog *ebpf.Program, keep []int) (removed []string, err error) {
	var stay ebpf.ProgramID
	if prog != nil {
		if stay, err = programID(prog); err != nil {
			return nil, err
		}
	}
	devices, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var errs []error
	for _, d := range devices {
		gone, err := t.sweepLink(prog != nil && slices.Contains(keep, d.Index), stay, d)
		removed = append(removed, gone...)
		if err != nil && !errors.Is(err, unix.ENODEV) {
			errs = append(errs, fmt.Errorf("interface %s: %w", d.Name, err))
		}
	}
	return removed, errors.Join(errs...)
}

// sweepLink detaches every program of ours on a link, except that with the number to keep.
// Where the kernel tells no numbers, the first one is that which place has just put there.
func (t *programs) sweepLink(keep bool, stay ebpf.ProgramID, link net.Interface) (removed []string, err error) {
	ours, err := t.attached(link.Index)
	if t.missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closeAll(ours)
	for i, a := range ours {
		if keep && (a.is(stay) || a.id == 0 && i == 0) {
			continue
		}
		gone, err := t.detach(a, link)
		removed = append(removed, gone...)
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// programID returns the kernel's number of a program, 0 before Linux 4.13.
func programID(p *ebpf.Program) (ebpf.ProgramID, error) {
	info, err := p.Info()
	if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EINVAL) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read program: %w", err)
	}
	id, _ := info.ID()
	return id, nil
}

// closeAll closes programs that were only looked at.
func closeAll(list []attachment) {
	for _, a := range list {
		if a.prog != nil {
			_ = a.prog.Close() // nothing is lost when a descriptor of a query cannot be closed
		}
	}
}
