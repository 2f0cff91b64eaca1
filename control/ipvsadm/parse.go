package ipvsadm

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The exit statuses of ipvsadm.
const (
	exitOK       = 0
	exitList     = 1   // a listing failed
	exitFailure  = 2   // a bad option or value, or no IPVS
	exitBadUsage = 255 // no command first, or an option that popt refuses
)

// A failure ends a command with a message on standard error and an exit status.
type failure struct {
	status int
	text   string
}

func (f *failure) Error() string { return f.text }

// fail is a failure over options or values.
func fail(format string, args ...any) *failure {
	return &failure{exitFailure, fmt.Sprintf(format, args...)}
}

// A request is a parsed command line.
type request struct {
	cmd     commandID
	given   map[optionID]bool
	service Key // if optService is given
}

// parse reads a command line without the program's name. Errors are *failure, with
// ipvsadm's text and status.
func (e *Env) parse(ctx context.Context, args []string) (*request, error) {
	s := &scanner{table: grammar, args: args}
	first, _, _, err := s.next()
	if err != nil || first == nil || first.cmd == noCommand {
		return nil, e.tryHelp()
	}
	r := &request{cmd: first.cmd, given: map[optionID]bool{}}
	if r.cmd == cmdHelp || r.cmd == cmdVersion {
		return r, nil // whatever follows
	}
	c, served := commands[r.cmd]
	if !served {
		return nil, fail("%s: the command %s is not served by uvs yet", e.Program, first.spelling())
	}
	for {
		o, arg, _, err := s.next()
		if err != nil {
			return nil, &failure{exitBadUsage, err.Error()}
		}
		if o == nil {
			break
		}
		if err := e.apply(ctx, r, o, arg); err != nil {
			return nil, err
		}
	}
	if len(s.rest) > 0 {
		return nil, fail("unexpected argument %s", s.rest[0])
	}
	return r, c.check(r.given, e.Program)
}

// tryHelp is the answer to a command line that does not begin with a command.
func (e *Env) tryHelp() *failure {
	return &failure{exitBadUsage, fmt.Sprintf("Try `%s -h' or '%[1]s --help' for more information.", e.Program)}
}

// apply takes one option into the request.
func (e *Env) apply(ctx context.Context, r *request, o *option, arg string) error {
	if o.cmd != noCommand {
		return fail("invalid option `%s'", o.spelling())
	}
	if o.opt <= lastChecked {
		if r.given[o.opt] {
			return fail("multiple '%s' options specified", optionNames[o.opt])
		}
		r.given[o.opt] = true
	}
	switch o.opt {
	case optService:
		return e.parseService(ctx, r, o, arg)
	case optIPv6:
		if r.service.Fwmark == 0 {
			return fail("-6 used before -f")
		}
		r.service.IPv6 = true
	}
	return nil
}

// check applies the command's rules to the options given.
func (c command) check(given map[optionID]bool, program string) error {
	last := noOption
	for o := noOption + 1; o <= lastChecked; o++ {
		if !given[o] {
			continue
		}
		switch c.rules[o] {
		case illegal:
			return fail("Illegal '%s' option with the '%s' command", optionNames[o], c.name)
		case exclusive:
			if last != noOption {
				return fail("The option '%s' conflicts with the '%s' option in the '%s' command",
					optionNames[o], optionNames[last], c.name)
			}
			last = o
		}
	}
	state := given[optConnection] || given[optTimeout] || given[optDaemon]
	numbers := given[optStats] || given[optRate] || given[optThresholds]
	if state && numbers || (given[optTimeout] || given[optDaemon]) && given[optPersistentConn] {
		return fail("options conflicts in the list command")
	}
	if i := slices.IndexFunc(c.unserved, func(o optionID) bool { return given[o] }); i >= 0 {
		return fail("%s: the option --%s is not served by uvs yet", program, optionNames[c.unserved[i]])
	}
	return nil
}

// parseService reads the service that -t, -u, --sctp-service or -f names.
func (e *Env) parseService(ctx context.Context, r *request, o *option, arg string) error {
	if o.long == "fwmark-service" {
		mark, err := strconv.ParseUint(arg, 10, 32)
		if err != nil || mark == 0 || mark > math.MaxInt32 {
			return fail("invalid fwmark value `%s' specified", arg)
		}
		r.service = Key{Fwmark: uint32(mark)}
		return nil
	}
	name, _, _ := strings.Cut(o.long, "-")
	p := protocolNamed(strings.ToUpper(name))
	addr, ok := e.parseAddr(ctx, arg, p)
	if !ok {
		return fail("illegal virtual server address[:port] specified")
	}
	r.service = Key{Protocol: p, Addr: addr}
	return nil
}

// parseAddr reads A.B.C.D[:port], host[:service], [v6]:port or a bare IPv6 address.
// As in ipvsadm an address of digits alone is none, brackets need a port behind
// them, and host names stand for IPv4 addresses only.
func (e *Env) parseAddr(ctx context.Context, text string, p Protocol) (netip.AddrPort, bool) {
	if inside, ok := strings.CutPrefix(text, "["); ok {
		host, port, ok := strings.Cut(inside, "]:")
		a, err := netip.ParseAddr(host)
		if !ok || err != nil || !a.Is6() || a.Zone() != "" {
			return netip.AddrPort{}, false
		}
		return e.withPort(a, port, p)
	}
	if a, err := netip.ParseAddr(text); err == nil && a.Is6() && a.Zone() == "" {
		return netip.AddrPortFrom(a, 0), true
	}
	if strings.Trim(text, "0123456789") == "" {
		return netip.AddrPort{}, false
	}
	host, port := text, "0"
	if i := strings.LastIndexByte(text, ':'); i >= 0 {
		host, port = text[:i], text[i+1:]
	}
	a, ok := e.host(ctx, host)
	if !ok {
		return netip.AddrPort{}, false
	}
	return e.withPort(a, port, p)
}

// host reads an IPv4 address or asks for the name's.
func (e *Env) host(ctx context.Context, text string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(text); err == nil {
		return a, a.Is4()
	}
	if text == "" {
		return netip.Addr{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, allNamesTimeout)
	defer cancel()
	found, err := e.Lookup.Host(ctx, text)
	if err != nil || len(found) == 0 {
		return netip.Addr{}, false
	}
	return found[0].Unmap(), true
}

// withPort adds a port in decimal or by its name.
func (e *Env) withPort(a netip.Addr, text string, p Protocol) (netip.AddrPort, bool) {
	if n, err := strconv.ParseUint(text, 10, 16); err == nil {
		return netip.AddrPortFrom(a, uint16(n)), true
	}
	port, ok := e.Lookup.port(text, p)
	return netip.AddrPortFrom(a, port), ok
}

// spelling is how the option is best written in a message.
func (o *option) spelling() string {
	if o.long != "" {
		return "--" + o.long
	}
	return "-" + string(rune(o.short))
}
