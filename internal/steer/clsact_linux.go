package steer

import (
	"errors"
	"fmt"
	"net"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A filter of ours is found again by its name and handle. The handle also remembers whether
// the qdisc that it is in was made for it, and is to go with it.
const (
	handleGuest = 0x75760001 // "uv": in a qdisc that somebody else made
	handleOwner = 0x75760002
)

// clsactPreference is ahead of everybody's. Among BPF filters of the same preference the
// newest is the first.
const clsactPreference = 1

// clsactTries bounds the repetition of a dump that the kernel says was disturbed.
const clsactTries = 5

// clsact is the hook of Linux 4.5: a clsact qdisc on each device, and a BPF filter in
// direct-action mode at its ingress, which is replaced atomically. An ingress or clsact
// qdisc that is there already is used and stays, with all that is in it. Ours is removed
// with the filter unless somebody else has put filters there meanwhile.
//
// On a kernel with tcx, programs there run before: one that ends with a verdict keeps
// frames from clsact.
type clsact struct{}

// newClsact returns the backend.
func newClsact() *programs { return &programs{hook: clsact{}} }

// probe implements hook. Nothing but doing it tells whether the kernel can, so that lo
// has the filter for a moment. It takes frames for an address that does not exist.
func (c clsact) probe() (err error) {
	prog, err := loadProgram(c.dialect(), probeRules())
	if err != nil {
		return programError(err, "CAP_BPF (before Linux 5.8 CAP_SYS_ADMIN)")
	}
	defer func() { err = errors.Join(err, prog.Close()) }()
	t := programs{hook: c}
	err = t.placeAll(prog.Program, []int{loopbackIndex})
	_, errSweep := t.sweepLink(false, 0, net.Interface{Index: loopbackIndex, Name: "lo"})
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("needs CAP_NET_ADMIN: %w", err)
	case errors.Is(err, unix.ENOENT) || c.missing(err):
		return fmt.Errorf("needs Linux 4.5 or newer with CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_BPF (running %s): %w", running(), err)
	case err != nil || errSweep != nil:
		return fmt.Errorf("fails on Linux %s: %w", running(), errors.Join(err, errSweep))
	}
	return nil
}

// dialect implements hook. Kernels before 5.11 count programs and maps as locked memory, of
// which a process may have 64 KiB; what fails here shows when the program is loaded.
func (clsact) dialect() dialect {
	_ = rlimit.RemoveMemlock()
	return dialect{plain: true}
}

func (clsact) missing(err error) bool { return errors.Is(err, unix.EOPNOTSUPP) }

// attached implements hook.
func (clsact) attached(index int) (ours []attachment, err error) {
	filters, err := filtersAt(index, netlink.HANDLE_MIN_INGRESS)
	if err != nil {
		return nil, err
	}
	for _, f := range filters {
		b, ok := f.(*netlink.BpfFilter)
		if !ok || b.Name != programName || b.Handle != handleGuest && b.Handle != handleOwner {
			continue
		}
		a := attachment{id: ebpf.ProgramID(b.Id), filter: b}
		if a.id != 0 {
			a.prog, _ = ebpf.NewProgramFromID(a.id) // it takes more rights than to remove it
		}
		ours = append(ours, a)
	}
	return ours, nil
}

// filtersAt lists the filters at one side of a device. A device without a qdisc there, or
// that is gone, has none.
func filtersAt(index int, parent uint32) (list []netlink.Filter, err error) {
	device := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}
	for range clsactTries {
		list, err = netlink.FilterList(device, parent)
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list filters: %w", err)
	}
	return list, nil
}

// attach implements hook.
func (c clsact) attach(p *ebpf.Program, index int) error {
	handle := uint32(handleOwner)
	err := netlink.QdiscAdd(clsactQdisc(index))
	if errors.Is(err, unix.EEXIST) {
		handle, err = handleGuest, nil
	}
	if err != nil {
		return fmt.Errorf("add qdisc clsact: %w", err)
	}
	if err := netlink.FilterAdd(clsactFilter(p, index, handle)); err != nil {
		if errors.Is(err, unix.EINVAL) && preferenceTaken(index) {
			err = fmt.Errorf("a filter of another kind has preference %d, ahead of which there is none: %w; "+
				"give it a later one, or steer by another backend", clsactPreference, err)
		}
		var undo error
		if handle == handleOwner {
			undo = netlink.QdiscDel(clsactQdisc(index))
		}
		return errors.Join(fmt.Errorf("add filter: %w", err), undo)
	}
	return nil
}

// preferenceTaken reports whether filters that ours cannot stand beside have its
// preference.
func preferenceTaken(index int) bool {
	list, _ := filtersAt(index, netlink.HANDLE_MIN_INGRESS)
	for _, f := range list {
		if a := f.Attrs(); a.Priority == clsactPreference && (f.Type() != "bpf" || a.Protocol != unix.ETH_P_ALL) {
			return true
		}
	}
	return false
}

func (clsact) replace(old attachment, p *ebpf.Program, index int) error {
	return netlink.FilterReplace(clsactFilter(p, index, old.filter.Handle))
}

// detach implements hook.
func (clsact) detach(a attachment, link net.Interface) (removed []string, err error) {
	f := clsactFilter(nil, link.Index, a.filter.Handle)
	if err := netlink.FilterDel(f); err != nil {
		return nil, fmt.Errorf("delete filter: %w", err)
	}
	removed = append(removed, fmt.Sprintf("clsact filter %s on %s", programName, link.Name))
	if a.filter.Handle != handleOwner {
		return removed, nil
	}
	for _, side := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		others, err := filtersAt(link.Index, side)
		if len(others) > 0 || err != nil {
			return removed, err
		}
	}
	if err := netlink.QdiscDel(clsactQdisc(link.Index)); err != nil && !isGone(err) {
		return removed, fmt.Errorf("delete qdisc clsact: %w", err)
	}
	return append(removed, "clsact qdisc on "+link.Name), nil
}

// isGone reports whether what was to be deleted is not there any more.
func isGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL)
}

func clsactQdisc(index int) netlink.Qdisc {
	return &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
}

// clsactFilter is the filter with a program; without one it only names it.
func clsactFilter(p *ebpf.Program, index int, handle uint32) *netlink.BpfFilter {
	f := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: index, Parent: netlink.HANDLE_MIN_INGRESS,
			Handle: handle, Priority: clsactPreference, Protocol: unix.ETH_P_ALL,
		},
		Fd: -1, Name: programName, DirectAction: true,
	}
	if p != nil {
		f.Fd = p.FD()
	}
	return f
}
