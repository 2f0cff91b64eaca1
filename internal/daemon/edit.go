package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"uvs/control"
	"uvs/forwarding"
	"uvs/internal/table"
)

// edited returns a copy of a table after all edits, and what is to be done to the engine
// once that is in force; or what is wrong with one of them, as an *control.EditError.
func edited(t *table.Table, edits []control.Edit) (next *table.Table, after []func(*forwarding.Engine) error, err error) {
	next = t.Clone()
	for i, e := range edits {
		do, err := applyEdit(next, e)
		if err != nil {
			return nil, nil, editError(i, err)
		}
		if do != nil {
			after = append(after, do)
		}
	}
	return next, after, nil
}

// applyEdit does an operator's edit to a table. What it returns is to be done to the engine
// once the table is in force; nil if nothing is.
func applyEdit(t *table.Table, e control.Edit) (after func(*forwarding.Engine) error, err error) {
	key, err := keyOf(e)
	if err != nil {
		return nil, err
	}
	switch e.Op {
	case control.AddService, control.EditService:
		set, err := serviceSettings(e.Service)
		if err != nil {
			return nil, err
		}
		if e.Op == control.AddService {
			return nil, t.AddService(key, set)
		}
		return nil, t.EditService(key, set)
	case control.DeleteService:
		return nil, t.DeleteService(key)
	case control.AddServer, control.EditServer, control.DeleteServer:
		return nil, applyServerEdit(t, key, e)
	case control.Clear:
		t.Clear()
		return nil, nil
	case control.Zero:
		if !t.Has(key) {
			return nil, &table.Error{Code: table.NoService, Text: fmt.Sprintf("there is no service %s", key)}
		}
		return func(x *forwarding.Engine) error {
			return x.Zero(new(engineKey(key)))
		}, nil
	case control.ZeroAll:
		return func(x *forwarding.Engine) error { return x.Zero(nil) }, nil
	case control.SetTimeouts:
		return setTimeouts(e.Timeouts)
	}
	return nil, invalid("there is no operation %q", e.Op)
}

func applyServerEdit(t *table.Table, key table.Key, e control.Edit) error {
	addr := netip.AddrPortFrom(e.Server.Address, e.Server.Port)
	if e.Op == control.DeleteServer {
		return t.DeleteServer(key, addr)
	}
	set, err := serverSettings(e.Server)
	if err != nil {
		return err
	}
	if e.Op == control.AddServer {
		return t.AddServer(key, addr, set)
	}
	return t.EditServer(key, addr, set)
}

// maxTimeout is what ipvsadm --set takes at most, in seconds.
const maxTimeout = 31 * 24 * 60 * 60

func setTimeouts(c control.Timeouts) (func(*forwarding.Engine) error, error) {
	for _, n := range []uint32{c.TCP, c.TCPFin, c.UDP} {
		if n > maxTimeout {
			return nil, invalid("timeout %d is not from 0 to %d", n, maxTimeout)
		}
	}
	return func(x *forwarding.Engine) error {
		return x.SetTimeouts(time.Duration(c.TCP)*time.Second, time.Duration(c.TCPFin)*time.Second, time.Duration(c.UDP)*time.Second)
	}, nil
}

func invalid(format string, args ...any) error {
	return &table.Error{Code: table.Invalid, Text: fmt.Sprintf(format, args...)}
}

// editError is the control API's form of a refusal.
func editError(index int, err error) error {
	code := control.CodeInvalid
	var refused *table.Error
	if errors.As(err, &refused) {
		code = control.Code(refused.Code)
	}
	return &control.EditError{Index: index, Code: code, Message: err.Error()}
}

// nameOf names what an edit is about, for the log.
func nameOf(e control.Edit) string {
	switch e.Op {
	case control.Clear, control.ZeroAll, control.SetTimeouts:
		return ""
	}
	k, _ := keyOf(e) // it was good when the edit was done
	if e.Server.Address.IsValid() {
		return fmt.Sprintf("%s, server %s", k, netip.AddrPortFrom(e.Server.Address, e.Server.Port))
	}
	return k.String()
}

func keyOf(e control.Edit) (table.Key, error) {
	switch e.Op {
	case control.Clear, control.ZeroAll, control.SetTimeouts:
		return table.Key{}, nil
	}
	s := e.Service
	if s.Fwmark != 0 {
		return table.Key{Fwmark: s.Fwmark, IPv6: s.IPv6}, nil
	}
	number := map[control.Protocol]uint8{control.TCP: table.TCP, control.UDP: table.UDP, control.SCTP: table.SCTP}[s.Protocol]
	if number == 0 {
		return table.Key{}, invalid("%q is no protocol of a service (have: tcp, udp, sctp)", s.Protocol)
	}
	if !s.Address.IsValid() {
		return table.Key{}, invalid("the service has no address")
	}
	return table.Key{Protocol: number, Addr: s.Address, Port: s.Port}, nil
}

func serviceSettings(s control.Service) (table.ServiceSettings, error) {
	set := table.ServiceSettings{
		Scheduler: s.Scheduler, Persistence: time.Duration(s.Persistence) * time.Second,
		Engine: s.PersistenceEngine, OnePacket: s.OnePacket,
	}
	if s.Persistence > maxTimeout {
		return set, invalid("persistence %d is not from 1 to %d", s.Persistence, maxTimeout)
	}
	for _, f := range s.Flags {
		bit, ok := flagBits()[f]
		if !ok {
			return set, invalid("there is no scheduler flag %q", f)
		}
		set.Flags |= bit
	}
	var err error
	set.Netmask, set.Together, err = parseNetmask(s.Netmask, s.IPv6 || s.Address.Is6())
	return set, err
}

// flagBits are the names of scheduler flags.
func flagBits() map[string]table.Flags {
	return map[string]table.Flags{
		"flag-1": table.Flag1, "sh-fallback": table.Flag1, "mh-fallback": table.Flag1,
		"flag-2": table.Flag2, "sh-port": table.Flag2, "mh-port": table.Flag2,
		"flag-3": table.Flag3,
	}
}

// flagNames names a scheduler's flags as ipvsadm lists them.
func flagNames(scheduler string, f table.Flags) []string {
	names := [3]string{"flag-1", "flag-2", "flag-3"}
	if scheduler == "sh" || scheduler == "mh" {
		names[0], names[1] = scheduler+"-fallback", scheduler+"-port"
	}
	var list []string
	for i, bit := range []table.Flags{table.Flag1, table.Flag2, table.Flag3} {
		if f&bit != 0 {
			list = append(list, names[i])
		}
	}
	return list
}

// parseNetmask reads a mask of clients: dotted for IPv4, a prefix length for IPv6. One that
// keeps every client apart is the zero value, and so is one that keeps all together.
func parseNetmask(text string, v6 bool) (mask [16]byte, together bool, err error) {
	if text == "" {
		return mask, false, nil
	}
	if v6 {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 128 {
			return mask, false, invalid("netmask %q is not a prefix length from 1 to 128", text)
		}
		if n == 128 {
			return mask, false, nil
		}
		for i := range n {
			mask[i/8] |= 0x80 >> (i % 8)
		}
		return mask, false, nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return mask, false, invalid("netmask %q is not a mask like 255.255.255.0", text)
	}
	four := a.As4()
	if four != [4]byte{255, 255, 255, 255} {
		copy(mask[:], four[:])
	}
	return mask, a.IsUnspecified(), nil
}

// formatNetmask is the inverse of parseNetmask.
func formatNetmask(mask [16]byte, together, v6 bool) string {
	switch {
	case together:
		return "0.0.0.0"
	case mask == ([16]byte{}):
		return ""
	}
	if !v6 {
		return netip.AddrFrom4([4]byte(mask[:4])).String()
	}
	n := 0
	for n < 128 && mask[n/8]&(0x80>>(n%8)) != 0 {
		n++
	}
	return strconv.Itoa(n)
}

func serverSettings(r control.Server) (table.ServerSettings, error) {
	set := table.ServerSettings{Weight: r.Weight, Upper: r.UpperThreshold, Lower: r.LowerThreshold}
	switch r.Method {
	case control.NAT:
	case control.DR:
		set.Method = table.DR
	case control.TUN:
		set.Method = table.TUN
		set.Tunnel = table.Tunnel{Type: "ipip", Checksum: "nocsum"}
		if r.Tunnel != nil {
			set.Tunnel = table.Tunnel{Type: r.Tunnel.Type, Port: r.Tunnel.Port, Checksum: r.Tunnel.Checksum}
		}
	default:
		return set, invalid("%q is no forwarding method (have: nat, dr, tun)", r.Method)
	}
	return set, nil
}
