package ipvsadm_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"uvs/control"
	"uvs/control/ipvsadm/ipvsadmtest"
)

// A kernel is the service table as a kernel's IPVS keeps it (ip_vs_ctl.c), written down
// anew: the director's own table must not be its own measure.
type kernel struct {
	services []control.Service // in the order of adding; servers newest first
	timeouts control.Timeouts
	conns    []control.Connection
}

func newKernel() *kernel {
	return &kernel{timeouts: control.Timeouts{TCP: 900, TCPFin: 120, UDP: 300}}
}

func (k *kernel) Services(context.Context) (control.ServiceList, error) {
	l := control.ServiceList{TableSize: 4096, Timeouts: k.timeouts}
	for _, s := range k.services {
		s.Servers = slices.Clone(s.Servers)
		l.Services = append(l.Services, s)
	}
	return l, nil
}

func (k *kernel) Connections(_ context.Context, yield func(control.Connection) error) error {
	for _, c := range k.conns {
		if err := yield(c); err != nil {
			return err
		}
	}
	return nil
}

// Edit does all edits or none.
func (k *kernel) Edit(ctx context.Context, edits []control.Edit) error {
	l, _ := k.Services(ctx)
	next := &kernel{services: l.Services, timeouts: k.timeouts, conns: k.conns}
	for i, e := range edits {
		if code := next.edit(e); code != "" {
			return &control.EditError{Index: i, Code: code, Message: "refused"}
		}
	}
	*k = *next
	return nil
}

func (k *kernel) edit(e control.Edit) control.Code {
	at := slices.IndexFunc(k.services, func(s control.Service) bool { return sameService(s, e.Service) })
	switch e.Op {
	case control.Clear:
		k.services = nil
		return ""
	case control.ZeroAll:
		for i := range k.services {
			zero(&k.services[i])
		}
		return ""
	case control.SetTimeouts:
		for to, from := range map[*uint32]uint32{&k.timeouts.TCP: e.Timeouts.TCP, &k.timeouts.TCPFin: e.Timeouts.TCPFin, &k.timeouts.UDP: e.Timeouts.UDP} {
			if from > 0 {
				*to = from
			}
		}
		return ""
	case control.AddService:
		if at >= 0 {
			return control.CodeExists
		}
		if code := checkService(e.Service); code != "" {
			return code
		}
		k.services = append(k.services, e.Service)
		return ""
	}
	if at < 0 {
		return control.CodeNoService
	}
	s := &k.services[at]
	switch e.Op {
	case control.EditService:
		if code := checkService(e.Service); code != "" {
			return code
		}
		e.Service.Servers, e.Service.Counters = s.Servers, s.Counters
		*s = e.Service
	case control.DeleteService:
		k.services = slices.Delete(k.services, at, at+1)
	case control.Zero:
		zero(s)
	default:
		return editServer(s, e)
	}
	return ""
}

func editServer(s *control.Service, e control.Edit) control.Code {
	d := e.Server
	at := slices.IndexFunc(s.Servers, func(x control.Server) bool { return x.Address == d.Address && x.Port == d.Port })
	if e.Op == control.DeleteServer {
		if at < 0 {
			return control.CodeNotFound
		}
		s.Servers = slices.Delete(s.Servers, at, at+1)
		return ""
	}
	d.EffectiveWeight, d.State = d.Weight, control.ServerUp
	switch {
	case d.LowerThreshold > d.UpperThreshold, d.Weight < 0:
		return control.CodeRange
	case d.Address.Is6() != (s.IPv6 || s.Address.Is6()) && d.Method != control.TUN:
		return control.CodeInvalid
	case d.Tunnel != nil && d.Tunnel.Type == "gue" && d.Tunnel.Port == 0:
		return control.CodeInvalid
	case e.Op == control.AddServer && at >= 0:
		return control.CodeExists
	case e.Op == control.AddServer && (d.Address.IsUnspecified() || d.Address.IsMulticast() || d.Address.IsLinkLocalUnicast() && d.Address.Is6() ||
		d.Address == netip.AddrFrom4([4]byte{255, 255, 255, 255})):
		return control.CodeInvalid
	case e.Op == control.AddServer:
		s.Servers = slices.Insert(s.Servers, 0, d)
		return ""
	case at < 0:
		return control.CodeNotFound
	}
	d.Counters = s.Servers[at].Counters
	s.Servers[at] = d
	return ""
}

func checkService(s control.Service) control.Code {
	known := []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos"}
	if !slices.Contains(known, s.Scheduler) || s.PersistenceEngine != "" && s.PersistenceEngine != "sip" {
		return control.CodeNotFound
	}
	return ""
}

func sameService(a, b control.Service) bool {
	if a.Fwmark != 0 || b.Fwmark != 0 {
		return a.Fwmark == b.Fwmark && a.IPv6 == b.IPv6
	}
	return a.Protocol == b.Protocol && a.Address == b.Address && a.Port == b.Port
}

func zero(s *control.Service) {
	s.Counters = control.Counters{}
	for i := range s.Servers {
		s.Servers[i].Counters = control.Counters{}
	}
}

// A model is the world of our ipvsadm on a kernel of ours.
type model struct{ *kernel }

func (m *model) Reset(*testing.T)             { m.kernel = newKernel() }
func (m *model) Local(*testing.T, netip.Addr) {}

func (m *model) Send(t *testing.T, to netip.AddrPort, datagrams, size int, _ netip.AddrPort) {
	t.Helper()
	for i := range m.services {
		s := &m.services[i]
		if s.Protocol != control.UDP || netip.AddrPortFrom(s.Address, s.Port) != to {
			continue
		}
		for _, c := range []*control.Counters{&s.Counters, &s.Servers[0].Counters} {
			c.Conns++
			c.InPackets += uint64(datagrams)
			c.InBytes += uint64(datagrams) * uint64(20+8+size)
		}
		return
	}
	t.Fatalf("no service %s", to)
}

func (m *model) Connections(t *testing.T, procLines []string) {
	t.Helper()
	m.conns = nil
	for _, line := range procLines {
		c, err := parseConnection(line)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		m.conns = append(m.conns, c)
	}
}

func (m *model) Run(t *testing.T, args []string, stdin string) ipvsadmtest.Answer {
	t.Helper()
	return ipvsadmtest.Run(t, m.kernel, args, stdin)
}

func (m *model) ProcFile(t *testing.T, name string) string {
	t.Helper()
	return ipvsadmtest.ProcFile(t, m.kernel, name)
}

// parseConnection reads a line of /proc/net/ip_vs_conn.
func parseConnection(line string) (c control.Connection, err error) {
	words := strings.Fields(line)
	if len(words) != 9 && len(words) != 11 {
		return c, fmt.Errorf("%d words", len(words))
	}
	ends := []*netip.AddrPort{&c.Client, &c.Virtual, &c.Server}
	for i, end := range ends {
		a, aerr := parseHexAddr(words[1+2*i])
		port, perr := strconv.ParseUint(words[2+2*i], 16, 16)
		err = errors.Join(err, aerr, perr)
		*end = netip.AddrPortFrom(a, uint16(port))
	}
	seconds, serr := strconv.Atoi(words[8])
	c.Protocol, c.State = control.Protocol(strings.ToLower(words[0])), words[7]
	c.Expires = control.Seconds(time.Duration(seconds) * time.Second)
	c.Template = c.Client.Port() == 0
	if len(words) == 11 {
		c.PersistenceEngine, c.PersistenceData = words[9], words[10]
	}
	return c, errors.Join(err, serr)
}

func parseHexAddr(text string) (netip.Addr, error) {
	if strings.Contains(text, ":") {
		return netip.ParseAddr(text)
	}
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 4 {
		return netip.Addr{}, fmt.Errorf("%q is no address", text)
	}
	return netip.AddrFrom4([4]byte(b)), nil
}
