package hostnet

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A Sysctl is a kernel parameter with a value that is wanted. Name is the path below
// /proc/sys: a device's name may have dots.
type Sysctl struct{ Name, Value string }

// A Setting is a sysctl that was changed: its value before and since. It is plain data,
// to be kept on disk by who wants to undo it after a crash.
type Setting struct{ Name, Was, Is string }

// PromoteSecondaries makes the secondary addresses of a device stay when the primary one
// of their subnet goes (IPv4).
func PromoteSecondaries(device string) []Sysctl {
	return []Sysctl{conf4(device, "promote_secondaries", "1")}
}

// BelowVirtualMAC are the settings of the device below a macvlan with a virtual MAC for
// IPv4, as keepalived 2.2.7 makes them: it must not answer ARP for addresses of the
// device above.
func BelowVirtualMAC(device string) []Sysctl {
	return []Sysctl{conf4(device, "arp_ignore", "1"), conf4(device, "arp_filter", "1")}
}

// IntoStack are the settings of a device that brings packets for this host's own addresses, those
// of the loopback network included, whatever the way to their senders. IPv6 is switched on for the
// device where it is not for new ones.
func IntoStack(device string, ipv6 bool) []Sysctl {
	if ipv6 {
		return []Sysctl{conf6(device, "disable_ipv6", "0"), conf6(device, "accept_ra", "0")}
	}
	return []Sysctl{conf4(device, "route_localnet", "1"), conf4(device, "rp_filter", "0")}
}

// conf4 and conf6 are parameters of one device.
func conf4(device, name, value string) Sysctl {
	return Sysctl{"net/ipv4/conf/" + device + "/" + name, value}
}

func conf6(device, name, value string) Sysctl {
	return Sysctl{"net/ipv6/conf/" + device + "/" + name, value}
}

// ReversePathPerDevice are the settings that leave the reverse-path filter as it is on all
// devices and give each a filter of its own: the kernel obeys the higher of the value for
// "all" and the device's, and packets to a virtual MAC pass no filter, as the way back
// leads through the device below. keepalived does the same. There are none where "all" is
// 0. It reads the network of the calling thread's namespace.
func ReversePathPerDevice() ([]Sysctl, error) {
	all, err := readSysctl(conf4("all", "rp_filter", "").Name)
	if err != nil {
		return nil, err
	}
	if all == "0" {
		return nil, nil
	}
	devices, err := os.ReadDir(sysctlRoot + "net/ipv4/conf")
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	var list []Sysctl
	for _, d := range devices {
		s := conf4(d.Name(), "rp_filter", all)
		own, err := readSysctl(s.Name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // the device is gone
		case err != nil:
			return nil, err
		case d.Name() != "all" && higher(all, own):
			list = append(list, s)
		}
	}
	return append(list, conf4("all", "rp_filter", "0")), nil
}

// higher reports whether a is a larger number than b.
func higher(a, b string) bool {
	x, _ := strconv.Atoi(a)
	y, _ := strconv.Atoi(b)
	return x > y
}

// Settings are sysctls that are changed as long as somebody needs them. They are counted:
// two virtual MACs above one device need the same settings of it. The methods are safe for
// use by many goroutines, and write in the namespace of the calling thread.
type Settings struct {
	mu   sync.Mutex // guards held
	held map[string]*holding
}

type holding struct {
	Setting
	users int
}

// NewSettings returns the settings that an earlier run left behind; nobody needs them yet.
func NewSettings(left []Setting) *Settings {
	s := &Settings{held: make(map[string]*holding, len(left))}
	for _, l := range left {
		s.held[l.Name] = &holding{Setting: l}
	}
	return s
}

// Hold sets sysctls and remembers what they were. If one cannot be set, those before it
// are let go again and the error says which.
func (s *Settings) Hold(wanted ...Sysctl) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, w := range wanted {
		if err := s.hold(w); err != nil {
			return errors.Join(err, s.release(wanted[:i]))
		}
	}
	return nil
}

func (s *Settings) hold(w Sysctl) error {
	before, err := readSysctl(w.Name)
	if err != nil {
		return err
	}
	if before != w.Value {
		if err := writeSysctl(w.Name, w.Value); err != nil {
			return err
		}
	}
	h := s.held[w.Name]
	if h == nil {
		h = &holding{Setting: Setting{Name: w.Name, Was: before}}
		s.held[w.Name] = h
	}
	h.Is = w.Value
	h.users++
	return nil
}

// Release lets go of what was held. What nobody needs any more gets back the value it had,
// unless somebody else has changed it since, or its device is gone.
func (s *Settings) Release(held ...Sysctl) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.release(held)
}

func (s *Settings) release(held []Sysctl) error {
	var errs []error
	for _, w := range slices.Backward(held) {
		h := s.held[w.Name]
		if h == nil {
			continue
		}
		if h.users--; h.users <= 0 {
			errs = append(errs, s.restore(h))
		}
	}
	return errors.Join(errs...)
}

// ReleaseUnneeded restores what an earlier run left and nobody has held since.
func (s *Settings) ReleaseUnneeded() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.held)) {
		if h := s.held[name]; h.users == 0 {
			errs = append(errs, s.restore(h))
		}
	}
	return errors.Join(errs...)
}

// restore writes the old value back. The setting stays on the list if that fails.
func (s *Settings) restore(h *holding) error {
	now, err := readSysctl(h.Name)
	if err == nil && now == h.Is && h.Was != h.Is {
		err = writeSysctl(h.Name, h.Was)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	delete(s.held, h.Name)
	return nil
}

// List returns what is changed now, sorted by name.
func (s *Settings) List() []Setting {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Setting
	for _, name := range slices.Sorted(maps.Keys(s.held)) {
		list = append(list, s.held[name].Setting)
	}
	return list
}

// sysctlRoot is where the kernel shows its parameters. Those below net are the ones of the
// calling thread's namespace.
const sysctlRoot = "/proc/sys/"

func readSysctl(name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(sysctlRoot, name))
	if err != nil {
		return "", fmt.Errorf("read sysctl: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func writeSysctl(name, value string) error {
	if err := os.WriteFile(filepath.Join(sysctlRoot, name), []byte(value), 0); err != nil {
		return fmt.Errorf("set sysctl to %s: %w", value, err)
	}
	return nil
}
