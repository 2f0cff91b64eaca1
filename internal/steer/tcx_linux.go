package steer

import (
	"errors"
	"fmt"
	"net"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// tcx is the hook of Linux 6.6. The programs are attached by BPF_PROG_ATTACH without a link
// and thus need no pin. To find them again takes CAP_SYS_ADMIN, as the kernel shows the name
// of a program of others to nobody else.
type tcx struct{}

// newTCX returns the backend.
func newTCX() *programs { return &programs{hook: tcx{}} }

// probe implements hook. It asks for what the hook and the program need.
func (t tcx) probe() (err error) {
	_, err = link.QueryPrograms(link.QueryOptions{Target: loopbackIndex, Attach: ebpf.AttachTCXIngress})
	if t.missing(err) {
		return fmt.Errorf("needs Linux 6.6 or newer with CONFIG_NET_XGRESS (running %s)", running())
	}
	if err == nil {
		err = t.findAgain()
	}
	return programError(err, "CAP_SYS_ADMIN")
}

// findAgain loads a program and looks it up as if it were an earlier run's.
func (t tcx) findAgain() (err error) {
	prog, err := loadProgram(t.dialect(), probeRules())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, prog.Close()) }()
	id, err := programID(prog.Program)
	if err != nil {
		return err
	}
	again, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return err
	}
	return again.Close()
}

// programError says what an error in loading and attaching programs means, nil if there is
// none. right is what they need beside CAP_NET_ADMIN.
func programError(err error, right string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES):
		return fmt.Errorf("needs %s and CAP_NET_ADMIN in the first user namespace: %w", right, unix.EPERM)
	}
	return fmt.Errorf("fails on Linux %s: %w", running(), err)
}

func (tcx) dialect() dialect { return dialect{attach: ebpf.AttachTCXIngress} }

func (tcx) missing(err error) bool {
	return errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS)
}

// attached implements hook. Ours have the name and no link, so that a program which someone
// else holds by a link is never ours.
func (tcx) attached(index int) (ours []attachment, err error) {
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
		ours = append(ours, attachment{id: a.ID, prog: p})
		info, err := p.Info()
		if err != nil {
			closeAll(ours)
			return nil, fmt.Errorf("read program %d: %w", a.ID, err)
		}
		if info.Name != programName {
			closeAll(ours[len(ours)-1:])
			ours = ours[:len(ours)-1]
		}
	}
	return ours, nil
}

func (tcx) attach(p *ebpf.Program, index int) error { return attachTCX(p, index, link.Head()) }

func (tcx) replace(old attachment, p *ebpf.Program, index int) error {
	return attachTCX(p, index, link.ReplaceProgram(old.prog))
}

func attachTCX(p *ebpf.Program, index int, where link.Anchor) error {
	return link.RawAttachProgram(link.RawAttachProgramOptions{
		Target: index, Program: p, Attach: ebpf.AttachTCXIngress, Anchor: where,
	})
}

func (tcx) detach(a attachment, l net.Interface) ([]string, error) {
	err := link.RawDetachProgram(link.RawDetachProgramOptions{
		Target: l.Index, Program: a.prog, Attach: ebpf.AttachTCXIngress,
	})
	if err != nil {
		return nil, err
	}
	return []string{fmt.Sprintf("tcx program %s on %s", programName, l.Name)}, nil
}
