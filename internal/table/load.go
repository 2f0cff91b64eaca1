package table

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"uvs/internal/delta"
)

// A FileService is a service as the configuration has it.
type FileService struct {
	Key      Key
	Settings ServiceSettings
	// Servers are in the order of the file: the last one is first in the list.
	Servers []FileServer
	// Sorry takes over while there is no quorum; nil if there is none. Its Inhibit keeps it
	// in the list with weight 0 meanwhile (sorry_server_inhibit).
	Sorry *FileServer
	// Group names what is checked together: the services of one virtual_server block share
	// their servers' health and their quorum.
	Group string
	// Naming is what keepalived calls the block and its servers.
	Naming Naming
	// Quorum is the weight of living servers that the service needs, at least 1; Hysteresis
	// is below it.
	Quorum, Hysteresis int
	// Alpha: there is no quorum until checks have succeeded.
	Alpha bool
}

// A Naming is what keepalived calls a virtual_server and its servers in log lines, pipes and mail (format_vs).
type Naming struct {
	Service  string // "[192.0.2.10]:tcp:80", "FWM 7", or "[NAME]:0" for all services of a group
	Protocol uint8  // of the block, also for the marks of its group; 0 for a mark alone
}

// Server is the name of a server: see [EndName].
func (n Naming) Server(a netip.AddrPort) string { return EndName(a, n.Protocol) }

// naming is what keepalived calls the service.
func (s *service) naming() Naming {
	if s.file == nil || s.file.Naming == (Naming{}) {
		return Naming{Service: s.key.String(), Protocol: s.key.Protocol}
	}
	return s.file.Naming
}

// A FileServer is a server as the configuration has it.
type FileServer struct {
	Addr     netip.AddrPort
	Settings ServerSettings
	// Inhibit: a failing check sets the weight to 0 instead of taking the server out.
	Inhibit bool
	// StartsDown: it is out until its checks have succeeded (alpha).
	StartsDown bool
}

// differences says in words what settings of the file are others than before.
func differences(before, after any) string {
	return strings.Join(delta.Rule{}.Fields(before, after), ", ")
}

// health is what of a service only counts together with checks: operators have no word for it.
func (f *FileService) health() any {
	return struct {
		Quorum, Hysteresis int
		Alpha              bool
	}{f.Quorum, f.Hysteresis, f.Alpha}
}

// same reports whether the file says the same about the service itself, its servers apart.
func (f *FileService) same(o *FileService) bool {
	return f.Settings == o.Settings
}

// Load makes services what the file says from now on, and returns what changed, one line
// each. What an operator changed stays, unless the file changed that very entry. Servers
// keep their health, connections and place.
func (t *Table) Load(services []FileService) []string {
	var changes []string
	tell := func(format string, args ...any) { changes = append(changes, fmt.Sprintf(format, args...)) }
	wanted := make(map[Key]bool, len(services))
	for i := range services {
		wanted[services[i].Key] = true
	}
	for _, s := range slices.Clone(t.services) {
		if s.file == nil || wanted[s.key] {
			continue
		}
		if !s.deleted {
			tell("removed service %s", s.key)
		}
		t.remove(s)
	}
	for i := range services {
		f := &services[i]
		var s *service
		if at, ok := t.places().byKey[f.Key]; ok {
			s = t.own(at)
		}
		t.loadService(s, f, tell)
	}
	t.index = nil // services may be in other groups
	return changes
}

// loadService brings the entry of f's key in line, which is nil if there is none.
func (t *Table) loadService(s *service, f *FileService, tell func(string, ...any)) {
	switch {
	case s == nil:
		s = &service{key: f.Key, set: f.Settings}
		s.quorum.lost = f.Alpha
		t.add(s)
		tell("added service %s", s.key)
	case s.file == nil:
		tell("service %s is the configuration's now", s.key)
		s.set, s.edited = f.Settings, false
	case !f.same(s.file):
		if s.deleted {
			tell("added service %s again, which an operator had deleted", s.key)
			for _, r := range s.servers {
				r.deleted = false
			}
		} else {
			tell("changed service %s: %s", s.key, differences(s.file.Settings, f.Settings))
		}
		s.set, s.edited, s.deleted = f.Settings, false, false
	}
	if old := s.file; old != nil && !s.deleted {
		if more := differences(old.health(), f.health()); more != "" {
			tell("changed service %s: %s", s.key, more)
		}
	}
	s.file = f
	t.loadServers(s, f, tell)
	s.quorum.configure(f)
	t.settle(s)
}

func (t *Table) loadServers(s *service, f *FileService, tell func(string, ...any)) {
	for _, r := range slices.Clone(s.servers) {
		kept := slices.ContainsFunc(f.Servers, func(x FileServer) bool { return x.Addr == r.addr && !r.sorry }) ||
			r.sorry && f.Sorry != nil && f.Sorry.Addr == r.addr
		if r.file == nil || kept {
			continue
		}
		if !r.deleted && !s.deleted {
			tell("removed server %s of service %s", r.addr, s.key)
		}
		s.servers = slices.DeleteFunc(s.servers, func(x *server) bool { return x == r })
	}
	for i := range f.Servers {
		t.loadServer(s, &f.Servers[i], false, tell)
	}
	if f.Sorry != nil {
		t.loadServer(s, f.Sorry, true, tell)
	}
}

func (t *Table) loadServer(s *service, f *FileServer, sorry bool, tell func(string, ...any)) {
	i := slices.IndexFunc(s.servers, func(r *server) bool { return r.addr == f.Addr && r.sorry == sorry })
	if i < 0 {
		s.servers = append(s.servers, &server{addr: f.Addr, file: f, sorry: sorry, set: f.Settings, down: f.StartsDown})
		if s.listedBefore() {
			tell("added server %s to service %s", f.Addr, s.key)
		}
		// In the order of the file, each at the head of the list.
		t.settle(s)
		return
	}
	r := s.servers[i]
	switch {
	case r.file == nil:
		tell("server %s of service %s is the configuration's now", r.addr, s.key)
		r.set, r.edited = f.Settings, false
	case r.file.Settings != f.Settings:
		tell("changed server %s of service %s: %s", r.addr, s.key, differences(r.file.Settings, f.Settings))
		r.set, r.edited, r.deleted = f.Settings, false, false
	}
	if r.file != nil && r.file.Inhibit != f.Inhibit {
		tell("changed server %s of service %s: inhibit on failure %t → %t", r.addr, s.key, r.file.Inhibit, f.Inhibit)
	}
	r.file = f
}

// listedBefore reports whether the service was loaded before this reload: the servers of a
// new one go without saying.
func (s *service) listedBefore() bool { return s.quorum.configured }
