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
	Auto Backend = "auto"
	TCX  Backend = "tcx"
	NFT  Backend = "nft"
)

// backend steers by one mechanism of the kernel. It holds no state that the kernel
// does not: whatever run left something, the next one finds it.
type backend interface {
	// probe reports why the backend cannot be used here, or nil.
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
		{TCX, new(tcx)},
		{NFT, new(nft)},
	}
}

// Best is the backend that Auto takes where the kernel has everything.
const Best = TCX

// A Support says whether a backend can be used in this network namespace.
type Support struct {
	Backend Backend
	Err     error // nil: usable; otherwise what is missing
}

// Probe reports on every backend, the best first. It changes nothing.
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
	use     named
	others  []named
	reason  string
	adopted bool // nothing of the other backends is left
}

// Open chooses a backend and checks that it works; it changes nothing in the kernel.
// What an earlier run left, by whichever backend, stays until the first Apply has put
// its own rules in place. The error names what a forced backend is missing; for Auto
// it does so for every backend.
func Open(b Backend) (*Steerer, error) {
	all := backends()
	if b == Auto {
		return openBest(all)
	}
	i := slices.IndexFunc(all, func(n named) bool { return n.name == b })
	if i < 0 {
		return nil, fmt.Errorf("steering backend %q is not known (have: %s)", b, names(all))
	}
	if err := all[i].probe(); err != nil {
		return nil, fmt.Errorf("%w; choose %q to take what this kernel has", err, Auto)
	}
	return newSteerer(all, i, fmt.Sprintf("%s: asked for", b)), nil
}

// openBest returns a Steerer with the first backend that works.
func openBest(all []named) (*Steerer, error) {
	var missing []error
	for i, n := range all {
		err := n.probe()
		if err == nil {
			missing = append(missing, fmt.Errorf("%s: works and is the best of what does", n.name))
			return newSteerer(all, i, joinLine(missing)), nil
		}
		missing = append(missing, err)
	}
	return nil, fmt.Errorf("no way to keep the kernel off our packets: %w", errors.Join(missing...))
}

// newSteerer returns a Steerer that uses the i-th backend.
func newSteerer(all []named, i int, reason string) *Steerer {
	return &Steerer{use: all[i], others: slices.Concat(all[:i], all[i+1:]), reason: reason}
}

// Backend returns the backend in use, never Auto.
func (s *Steerer) Backend() Backend { return s.use.name }

// Reason says in a line why this backend is in use, and what the better ones lack.
func (s *Steerer) Reason() string { return s.reason }

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
	for _, o := range s.others {
		if _, err := o.remove(); err != nil {
			return fmt.Errorf("remove steering by %s of an earlier run: %w", o.name, err)
		}
	}
	s.adopted = true
	return nil
}

// Remove takes all steering away, that of earlier runs included: the clean exit. The
// Steerer can go on to Apply, and still has to be closed.
func (s *Steerer) Remove() error {
	_, err := removeAll(append([]named{s.use}, s.others...))
	return err
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
// backend left it, and returns a line for each thing that it removed. It must not be
// called while a Steerer works in the namespace.
func Cleanup() (removed []string, err error) {
	return removeAll(backends())
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

// names lists the backends for an error.
func names(all []named) string {
	list := []string{string(Auto)}
	for _, n := range all {
		list = append(list, string(n.name))
	}
	return strings.Join(list, ", ")
}

// joinLine puts errors into one line.
func joinLine(errs []error) string {
	var parts []string
	for _, err := range errs {
		parts = append(parts, err.Error())
	}
	return strings.Join(parts, "; ")
}

// running returns the release of the running kernel, such as "6.1.0-18-amd64".
func running() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "of unknown release"
	}
	return unix.ByteSliceToString(u.Release[:])
}
