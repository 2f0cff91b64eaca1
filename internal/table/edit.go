package table

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
)

// Code is the errno that IPVS answers with, by its name.
type Code string

// The codes (ip_vs_ctl.c).
const (
	Exists    Code = "EEXIST"
	NotFound  Code = "ENOENT" // no such server; no such scheduler or engine
	NoService Code = "ESRCH"
	Invalid   Code = "EINVAL"
	Range     Code = "ERANGE"
)

// An Error is why a command was refused. The table is as it was.
type Error struct {
	Code Code
	Text string // what and why, for people
}

// Error returns the text.
func (e *Error) Error() string { return e.Text }

func refuse(c Code, format string, args ...any) error {
	return &Error{Code: c, Text: fmt.Sprintf(format, args...)}
}

// schedulers are the kernel's (CONFIG_IP_VS_*).
func schedulers() []string {
	return []string{"dh", "fo", "lblc", "lblcr", "lc", "mh", "nq", "ovf", "rr", "sed", "sh", "twos", "wlc", "wrr"}
}

// AddService adds a service without servers (ip_vs_add_service).
func (t *Table) AddService(k Key, set ServiceSettings) error {
	if t.live(k) != nil {
		return refuse(Exists, "service %s is there already", k)
	}
	if err := checkService(k, set); err != nil {
		return err
	}
	if t.find(k) == nil {
		t.add(&service{key: k, set: set})
		return nil
	}
	// The file has it, too: from now on it is as the operator says, at the end of the table.
	s := t.own(t.index.byKey[k])
	t.remove(s)
	s.deleted, s.edited, s.set = false, true, set
	for _, r := range s.servers {
		r.deleted = true
	}
	t.settle(s)
	t.add(s)
	return nil
}

// EditService replaces a service's settings (ip_vs_edit_service).
func (t *Table) EditService(k Key, set ServiceSettings) error {
	s := t.change(k)
	if s == nil {
		return refuse(NoService, "there is no service %s", k)
	}
	if err := checkService(k, set); err != nil {
		return err
	}
	s.set = set
	s.edited = s.file != nil && set != s.file.Settings
	return nil
}

// DeleteService removes a service and its servers (ip_vs_del_service).
func (t *Table) DeleteService(k Key) error {
	s := t.change(k)
	if s == nil {
		return refuse(NoService, "there is no service %s", k)
	}
	t.drop(s)
	return nil
}

// drop removes a service, or remembers that the operator did not want the file's.
func (t *Table) drop(s *service) {
	if s.file == nil {
		t.remove(s)
		return
	}
	s.deleted, s.edited = true, false
	s.servers = slices.DeleteFunc(s.servers, func(r *server) bool { return r.file == nil })
	for _, r := range s.servers {
		r.deleted, r.edited, r.forced = true, false, false
	}
	t.settle(s)
}

// Clear removes everything (ip_vs_flush).
func (t *Table) Clear() {
	for i, s := range slices.Backward(t.services) {
		if !s.deleted {
			t.drop(t.own(i))
		}
	}
}

// AddServer adds a server at the head of a service's list (ip_vs_add_dest).
func (t *Table) AddServer(k Key, addr netip.AddrPort, set ServerSettings) error {
	s := t.change(k)
	if s == nil {
		return refuse(NoService, "there is no service %s", k)
	}
	if err := checkServer(k, addr, set); err != nil {
		return err
	}
	if s.inList(addr) != nil {
		return refuse(Exists, "server %s is in service %s already", addr, k)
	}
	r := s.find(addr)
	if r == nil {
		r = &server{addr: addr}
		s.servers = append(s.servers, r)
	}
	r.set, r.deleted, r.forced = set, false, r.down
	r.edited = r.file != nil && set != r.file.Settings
	t.settle(s)
	return nil
}

// EditServer replaces a server's settings (ip_vs_edit_dest).
func (t *Table) EditServer(k Key, addr netip.AddrPort, set ServerSettings) error {
	s := t.change(k)
	if s == nil {
		return refuse(NoService, "there is no service %s", k)
	}
	if err := checkServer(k, addr, set); err != nil {
		return err
	}
	r := s.inList(addr)
	if r == nil {
		return refuse(NotFound, "there is no server %s in service %s", addr, k)
	}
	r.set = set
	r.edited = r.file != nil && set != r.file.Settings
	return nil
}

// DeleteServer removes a server (ip_vs_del_dest).
func (t *Table) DeleteServer(k Key, addr netip.AddrPort) error {
	s := t.change(k)
	if s == nil {
		return refuse(NoService, "there is no service %s", k)
	}
	r := s.inList(addr)
	if r == nil {
		return refuse(NotFound, "there is no server %s in service %s", addr, k)
	}
	if r.file == nil {
		s.servers = slices.DeleteFunc(s.servers, func(x *server) bool { return x == r })
		return nil
	}
	r.deleted, r.edited, r.forced = true, false, false
	t.settle(s)
	return nil
}

// Has reports whether a service is in the table.
func (t *Table) Has(k Key) bool { return t.live(k) != nil }

func checkService(k Key, set ServiceSettings) error {
	switch {
	case !slices.Contains(schedulers(), set.Scheduler):
		return refuse(NotFound, "there is no scheduler %q", set.Scheduler)
	case set.Engine != "" && set.Engine != "sip":
		return refuse(NotFound, "there is no persistence engine %q", set.Engine)
	case k.Fwmark == 0 && (!k.Addr.IsValid() || k.Addr.Zone() != ""):
		return refuse(Invalid, "%s is no address of a service", k.Addr)
	case k.Fwmark == 0 && k.Port == 0 && set.Persistence == 0:
		return refuse(Invalid, "service %s of all ports needs persistence", k)
	}
	return nil
}

func checkServer(k Key, addr netip.AddrPort, set ServerSettings) error {
	a := addr.Addr()
	switch {
	case set.Weight < 0 || set.Weight > math.MaxInt32:
		return refuse(Range, "weight %d is not from 0 to %d", set.Weight, math.MaxInt32)
	case set.Lower > set.Upper:
		return refuse(Range, "lower threshold %d is above the upper threshold %d", set.Lower, set.Upper)
	case set.Method == TUN && !slices.Contains([]string{"ipip", "gue", "gre"}, set.Tunnel.Type):
		return refuse(Invalid, "%q is no type of a tunnel (have: ipip, gue, gre)", set.Tunnel.Type)
	case set.Method == TUN && !slices.Contains([]string{"nocsum", "csum", "remcsum"}, set.Tunnel.Checksum):
		return refuse(Invalid, "%q is no checksum of a tunnel (have: nocsum, csum, remcsum)", set.Tunnel.Checksum)
	case set.Method == TUN && set.Tunnel.Type == "gue" && set.Tunnel.Port == 0:
		return refuse(Invalid, "a gue tunnel needs a port")
	case a.Is6() != k.v6() && set.Method != TUN:
		return refuse(Invalid, "server %s and service %s differ in address family, which only tunnels bridge", addr, k)
	case set.Method == DR && k.Fwmark == 0 && addr.Port() != k.Port:
		return refuse(Invalid, "direct routing cannot map port %d to %d", k.Port, addr.Port())
	case !unicast(a):
		return refuse(Invalid, "%s is not a unicast address", a)
	}
	return nil
}

// unicast reports whether a server may have the address (ip_vs_new_dest).
func unicast(a netip.Addr) bool {
	if !a.IsValid() || a.Is4In6() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
		return false
	}
	if a.Is4() {
		return a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
	}
	return !a.IsLinkLocalUnicast()
}
