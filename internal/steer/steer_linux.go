package steer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A Backend is a way to steer.
type Backend string

// The backends. Auto is the first of the others that this kernel supports.
const (
	Auto     Backend = "auto"
	TCX      Backend = "tcx"
	Clsact   Backend = "clsact"
	NFT      Backend = "nft"
	Iptables Backend = "iptables"
	Bare     Backend = "bare"
)

// backend steers by one mechanism of the kernel. It holds no state that the kernel
// does not: whatever run left something, the next one finds it.
type backend interface {
	// probe reports why the backend cannot be used here, or nil. The error goes on where
	// the backend's name stands: "needs Linux 6.6 or newer".
	probe() error

	// apply puts rules in place on their links, and then takes away everything older
	// of this backend. They come from normal. An error before that second step leaves
	// everything as it was.
	apply(Rules) error

	// remove takes away everything of this backend in the namespace and returns what
	// it was. A kernel without the backend has nothing.
	remove() (removed []string, err error)

	// close releases descriptors.
	close() error
}

// named is a backend under its name.
type named struct {
	name Backend
	backend
}

// backends returns a fresh set of all backends, the best first.
func backends() []named {
	return []named{
		{TCX, newTCX()},
		{Clsact, newClsact()},
		{NFT, new(nft)},
		{Iptables, new(iptables)},
		{Bare, bare{}},
	}
}

// Names returns the backends' names with Auto first, then the best first.
func Names() []string {
	list := []string{string(Auto)}
	for _, n := range backends() {
		list = append(list, string(n.name))
	}
	return list
}

// A Support says whether a backend can be used in this network namespace.
type Support struct {
	Backend Backend
	Err     error // nil: usable; otherwise what is missing
}

// String returns for instance "nft: needs CAP_NET_ADMIN: operation not permitted".
func (s Support) String() string {
	if s.Err == nil {
		return string(s.Backend) + ": works"
	}
	return fmt.Sprintf("%s: %v", s.Backend, s.Err)
}

// Probe reports on every backend, the best first. It leaves everything as it was.
func Probe() []Support {
	var report []Support
	for _, b := range backends() {
		report = append(report, Support{Backend: b.name, Err: b.probe()})
	}
	return report
}

// A Steerer keeps the stack off the packets of one network namespace: that of the
// thread that calls its methods. It is owned by one goroutine.
type Steerer struct {
	use        named
	others     []named
	passedOver []Support
	unseen     []Backend // others that we have no right to look for
	adopted    bool      // nothing of the other backends is left
}

// Open chooses a backend and checks that it works; it leaves the kernel as it was.
// What an earlier run left, by whichever backend, stays until the first Apply has put
// its own rules in place. The error names what a forced backend is missing; for Auto
// it does so for every backend. Auto takes Bare, which promises less, only where
// nothing else works; what Bare needs of the host is checked by Apply.
func Open(b Backend) (*Steerer, error) {
	all := backends()
	if b == Auto {
		return openBest(all)
	}
	i := slices.IndexFunc(all, func(n named) bool { return n.name == b })
	if i < 0 {
		return nil, fmt.Errorf("steering backend %q is not known (have: %s)", b, strings.Join(Names(), ", "))
	}
	if err := all[i].probe(); err != nil {
		return nil, fmt.Errorf("%s %w; choose %q to take what this kernel has", b, err, Auto)
	}
	return newSteerer(all, i, nil), nil
}

// openBest returns a Steerer with the first backend that works.
func openBest(all []named) (*Steerer, error) {
	var missing []Support
	var errs []error
	for i, n := range all {
		err := n.probe()
		if err == nil {
			return newSteerer(all, i, missing), nil
		}
		missing = append(missing, Support{n.name, err})
		errs = append(errs, fmt.Errorf("%s %w", n.name, err))
	}
	return nil, fmt.Errorf("no way to keep the kernel off our packets: %w", errors.Join(errs...))
}

// newSteerer returns a Steerer that uses the i-th backend.
func newSteerer(all []named, i int, missing []Support) *Steerer {
	return &Steerer{use: all[i], others: slices.Concat(all[:i], all[i+1:]), passedOver: missing}
}

// Backend returns the backend in use, never Auto.
func (s *Steerer) Backend() Backend { return s.use.name }

// PassedOver returns the better backends that Auto did not take, each with what it lacks.
// Nothing is passed over for a backend that was asked for. The caller must not change it.
func (s *Steerer) PassedOver() []Support { return s.passedOver }

// Unseen returns the backends whose steering this process has no right to look for. After
// an Apply, what an earlier run left by one of them may still be there.
func (s *Steerer) Unseen() []Backend { return slices.Clone(s.unseen) }

// Apply makes rules the ones in force. When it fails, those before are still in
// force; only a failure to take away something older leaves both, and repeating the call
// is then safe. Applying the same rules again changes nothing, and repairs what
// someone else took away. Packets that both the old and the new rules take never reach
// the stack meanwhile.
//
// An entry that cannot be steered, such as an address with a zone, is an error.
func (s *Steerer) Apply(r Rules) error {
	r, err := r.normal()
	if err != nil {
		return err
	}
	if err := s.use.apply(r); err != nil {
		return fmt.Errorf("steer by %s: %w", s.use.name, err)
	}
	if s.adopted {
		return nil
	}
	err = s.removeOthers()
	s.adopted = err == nil
	return err
}

// removeOthers takes away what earlier runs left by other backends, and notes which of
// them we cannot see.
func (s *Steerer) removeOthers() error {
	s.unseen = nil
	var errs []error
	for _, o := range s.others {
		_, err := o.remove()
		switch {
		case errors.Is(err, unix.EPERM):
			s.unseen = append(s.unseen, o.name)
		case err != nil:
			errs = append(errs, fmt.Errorf("remove steering by %s of an earlier run: %w", o.name, err))
		}
	}
	return errors.Join(errs...)
}

// Remove takes all steering away, that of earlier runs included: the clean exit. The
// Steerer can go on to Apply, and still has to be closed.
func (s *Steerer) Remove() error {
	_, err := removeAll([]named{s.use})
	return errors.Join(err, s.removeOthers())
}

// Close releases the descriptors of the Steerer. The steering stays in force.
func (s *Steerer) Close() error {
	var errs []error
	for _, n := range append([]named{s.use}, s.others...) {
		errs = append(errs, n.close())
	}
	return errors.Join(errs...)
}

// Cleanup takes away all steering in this network namespace, whichever run and
// backend left it, and what a Gate left, and returns a line for each thing that it removed. It
// must not be called while a Steerer or a Gate works in the namespace.
func Cleanup() (removed []string, err error) {
	removed, err = removeAll(backends())
	opened, errGate := new(Gate).Remove()
	return append(removed, opened...), errors.Join(err, errGate)
}

// removeAll removes what any of the backends has.
func removeAll(all []named) (removed []string, err error) {
	var errs []error
	for _, n := range all {
		gone, err := n.remove()
		removed = append(removed, gone...)
		if err != nil {
			errs = append(errs, fmt.Errorf("remove steering by %s: %w", n.name, err))
		}
	}
	return removed, errors.Join(errs...)
}

// running returns the release of the running kernel, such as "6.1.0-18-amd64".
func running() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "of unknown release"
	}
	return unix.ByteSliceToString(u.Release[:])
}
