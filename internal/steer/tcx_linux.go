package steer

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Names in the kernel, at most 15 bytes each. The program is found again by its name.
const (
	programName  = "uvs_steer"
	servicesName = "uvs_services"
	serversName  = "uvs_servers"
	localsName   = "uvs_locals"
)

// loopbackIndex is the index of the loopback device of every network namespace.
const loopbackIndex = 1

// tcx steers by an eBPF program at the ingress of each device. The programs are
// attached by BPF_PROG_ATTACH without a link and thus belong to the device: they need
// no pin and stay when the process dies. Program and maps are never changed; new
// matches make a new program, which replaces the one on each device atomically.
type tcx struct {
	prog  *ebpf.Program // the current program; nil before the first apply
	rules Rules         // whose matches it has
}

// probe asks for what the hook and the program need.
func (t *tcx) probe() error {
	_, err := link.QueryPrograms(link.QueryOptions{Target: loopbackIndex, Attach: ebpf.AttachTCXIngress})
	switch {
	case tcxMissing(err):
		return fmt.Errorf("tcx needs Linux 6.6 or newer with CONFIG_NET_XGRESS (running %s)", running())
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("tcx needs CAP_BPF and CAP_NET_ADMIN in the first user namespace: %w", err)
	case err != nil:
		return fmt.Errorf("tcx on Linux %s: %w", running(), err)
	}
	prog, err := loadProgram(probeRules())
	if err != nil {
		return fmt.Errorf("tcx on Linux %s: %w", running(), err)
	}
	return prog.Close()
}

// tcxMissing reports whether an error of a query means that the kernel has no tcx.
func tcxMissing(err error) bool {
	return errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS)
}

// apply implements backend.
func (t *tcx) apply(r Rules) error {
	if r.empty() {
		return t.applyNone()
	}
	prog := t.prog
	if prog == nil || !t.rules.sameMatches(r) {
		var err error
		if prog, err = loadProgram(r); err != nil {
			return err
		}
	}
	if err := placeAll(prog, r.Links); err != nil {
		if prog != t.prog {
			err = errors.Join(err, prog.Close())
		}
		return err
	}
	var closed error
	if t.prog != nil && t.prog != prog {
		closed = t.prog.Close()
	}
	t.prog, t.rules = prog, r
	_, err := sweep(prog, r.Links)
	return errors.Join(err, closed)
}

// applyNone is apply for rules that take no frame.
func (t *tcx) applyNone() error {
	_, err := t.remove()
	return errors.Join(err, t.close())
}

// remove implements backend.
func (t *tcx) remove() (removed []string, err error) { return sweep(nil, nil) }

// close implements backend.
func (t *tcx) close() error {
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
	old   *ebpf.Program // what was there before; nil: nothing of ours
}

// placeAll has the program run on all the links that exist, or leaves all of them as
// they were.
func placeAll(prog *ebpf.Program, links []int) error {
	var done []placement
	defer func() {
		for _, d := range done {
			closeAll([]*ebpf.Program{d.old})
		}
	}()
	for _, index := range links {
		old, changed, err := place(prog, index)
		switch {
		case errors.Is(err, unix.ENODEV):
			continue
		case err != nil:
			return errors.Join(fmt.Errorf("interface %d: %w", index, err), takeBack(prog, done))
		case changed:
			done = append(done, placement{index, old})
		}
	}
	return nil
}

// takeBack undoes placements of the program, the last one first.
func takeBack(prog *ebpf.Program, done []placement) error {
	var errs []error
	for _, d := range slices.Backward(done) {
		if d.old == nil {
			errs = append(errs, detach(prog, d.index))
		} else {
			errs = append(errs, attach(d.old, d.index, link.ReplaceProgram(prog)))
		}
	}
	return errors.Join(errs...)
}

// place has the program run on a link: in the place of an earlier one of ours if there
// is one, which it returns for the caller to close, else ahead of everybody's. It
// reports whether it had to change anything, and ENODEV when the link is gone.
func place(prog *ebpf.Program, index int) (old *ebpf.Program, changed bool, err error) {
	ours, err := attached(index)
	if err != nil {
		return nil, false, err
	}
	defer closeAll(ours)
	for _, p := range ours {
		if same, err := sameProgram(prog, p); same || err != nil {
			return nil, false, err
		}
	}
	if len(ours) == 0 {
		return nil, true, attach(prog, index, link.Head())
	}
	if old, err = ours[0].Clone(); err != nil {
		return nil, false, err
	}
	if err := attach(prog, index, link.ReplaceProgram(old)); err != nil {
		return nil, false, errors.Join(err, old.Close())
	}
	return old, true, nil
}

// sweep detaches every program of ours in the namespace except prog on the links to
// keep, and returns what it detached.
func sweep(prog *ebpf.Program, keep []int) (removed []string, err error) {
	devices, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var errs []error
	for _, d := range devices {
		var stay *ebpf.Program
		if slices.Contains(keep, d.Index) {
			stay = prog
		}
		n, err := sweepLink(stay, d.Index)
		for range n {
			removed = append(removed, fmt.Sprintf("tcx program %s on %s", programName, d.Name))
		}
		if err != nil && !errors.Is(err, unix.ENODEV) {
			errs = append(errs, fmt.Errorf("interface %s: %w", d.Name, err))
		}
	}
	return removed, errors.Join(errs...)
}

// sweepLink detaches every program of ours on a link except one, which may be nil,
// and returns how many.
func sweepLink(stay *ebpf.Program, index int) (n int, err error) {
	ours, err := attached(index)
	if tcxMissing(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer closeAll(ours)
	for _, p := range ours {
		same, err := sameProgram(stay, p)
		if err != nil {
			return n, err
		}
		if same {
			continue
		}
		if err := detach(p, index); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// attached returns the programs of ours on a link, for the caller to close. Ours have
// the name and no link, so that a program which someone else holds by a link is never
// ours.
func attached(index int) (ours []*ebpf.Program, err error) {
	all, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: ebpf.AttachTCXIngress})
	if err != nil {
		return nil, err
	}
	for _, a := range all.Programs {
		if _, held := a.LinkID(); held {
			continue
		}
		p, err := ebpf.NewProgramFromID(a.ID)
		if errors.Is(err, unix.ENOENT) {
			continue // detached since the query
		}
		if err != nil {
			closeAll(ours)
			return nil, fmt.Errorf("open program %d: %w", a.ID, err)
		}
		info, err := p.Info()
		if err != nil {
			closeAll(append(ours, p))
			return nil, fmt.Errorf("read program %d: %w", a.ID, err)
		}
		if info.Name == programName {
			ours = append(ours, p)
		} else {
			closeAll([]*ebpf.Program{p})
		}
	}
	return ours, nil
}

// sameProgram reports whether two descriptors, of which a may be nil, are of one program.
func sameProgram(a, b *ebpf.Program) (bool, error) {
	if a == nil {
		return false, nil
	}
	idA, err := programID(a)
	if err != nil {
		return false, err
	}
	idB, err := programID(b)
	return idA == idB, err
}

// programID returns the kernel's number of a program.
func programID(p *ebpf.Program) (ebpf.ProgramID, error) {
	info, err := p.Info()
	if err != nil {
		return 0, fmt.Errorf("read program: %w", err)
	}
	id, ok := info.ID()
	if !ok {
		return 0, fmt.Errorf("read program: no id")
	}
	return id, nil
}

// attach puts a program on the ingress of a link.
func attach(p *ebpf.Program, index int, where link.Anchor) error {
	return link.RawAttachProgram(link.RawAttachProgramOptions{
		Target: index, Program: p, Attach: ebpf.AttachTCXIngress, Anchor: where,
	})
}

// detach takes a program off the ingress of a link.
func detach(p *ebpf.Program, index int) error {
	return link.RawDetachProgram(link.RawDetachProgramOptions{
		Target: index, Program: p, Attach: ebpf.AttachTCXIngress,
	})
}

// closeAll closes programs that were only looked at.
func closeAll(list []*ebpf.Program) {
	for _, p := range list {
		_ = p.Close() // nothing is lost when a descriptor of a query cannot be closed
	}
}
