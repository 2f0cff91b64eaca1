package ipvsadm

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"uvs/control"
)

// The exit statuses of ipvsadm.
const (
	exitOK      = 0
	exitList    = 1   // a listing failed
	exitFailure = 2   // a bad option or value, or no IPVS
	exitRefused = 255 // the table refused it
	exitUsage   = 255 // no command first, or an option that popt refuses
)

// A failure ends a command with a message on standard error and an exit status.
type failure struct {
	status int
	text   string
	// goesOn tells that the commands of -R go on after this one.
	goesOn bool
}

func (f *failure) Error() string { return f.text }

// fail is a failure over options or values.
func fail(format string, args ...any) *failure {
	return &failure{status: exitFailure, text: fmt.Sprintf(format, args...)}
}

// A request is a parsed command line.
type request struct {
	cmd     commandID
	spelled string // the command as it was written
	given   map[optionID]bool

	// What the options say of a service, with the values for what they do not say.
	service    control.Service
	flags      string // of the scheduler
	mask4      netip.Addr
	mask6      int
	persistent bool

	server      control.Server
	tunnelType  string
	tunnelPort  uint16
	tunnelCheck string

	timeouts control.Timeouts
}

func newRequest(cmd commandID) *request {
	return &request{
		cmd:         cmd,
		given:       map[optionID]bool{},
		mask4:       netip.AddrFrom4([4]byte{255, 255, 255, 255}),
		mask6:       128,
		server:      control.Server{Method: control.DR, Weight: 1},
		tunnelType:  "ipip",
		tunnelCheck: "nocsum",
	}
}

// ipv6 tells whether the service is one of IPv6.
func (r *request) ipv6() bool { return r.service.IPv6 || r.service.Address.Is6() }

// parse reads a command line without the program's name. Errors are *failure, with
// ipvsadm's text and status.
func (e *Env) parse(ctx context.Context, args []string) (*request, error) {
	s := &scanner{table: grammar, args: args}
	first, arg, _, err := s.next()
	if err != nil || first == nil || first.cmd == noCommand {
		return nil, e.tryHelp()
	}
	r := newRequest(first.cmd)
	r.spelled = first.spelling()
	switch r.cmd {
	case cmdHelp, cmdVersion:
		return r, nil // whatever follows
	case cmdStartDaemon:
		if arg != "master" && arg != "backup" {
			return nil, fail("illegal start-daemon parameter specified")
		}
	case cmdStopDaemon:
		if arg != "master" && arg != "backup" {
			return nil, fail("illegal start_daemon specified") // sic
		}
	}
	for {
		o, arg, given, err := s.next()
		if err != nil {
			return nil, &failure{status: exitUsage, text: err.Error(), goesOn: true}
		}
		if o == nil {
			break
		}
		if o.cmd != noCommand {
			return nil, fail("invalid option `%s'", s.whole)
		}
		if err := e.apply(ctx, r, o, arg, given); err != nil {
			return nil, err
		}
	}
	if err := r.finish(s.rest); err != nil {
		return nil, err
	}
	return r, r.check()
}

// tryHelp is the answer to a command line that does not begin with a command.
func (e *Env) tryHelp() *failure {
	return &failure{status: exitUsage, text: fmt.Sprintf("Try `%s -h' or '%[1]s --help' for more information.", e.Program)}
}

// finish takes the words that are not options.
func (r *request) finish(words []string) error {
	if r.cmd == cmdSet {
		if len(words) < 3 {
			return fail("--set option requires 3 timeout values")
		}
		for i, to := range []*uint32{&r.timeouts.TCP, &r.timeouts.TCPFin, &r.timeouts.UDP} {
			n, ok := number(words[i], 0, maxTimeout)
			if !ok {
				return fail("invalid timeout value `%s' specified", words[i])
			}
			*to = uint32(n)
		}
		words = words[3:]
	}
	if len(words) > 0 {
		return fail("unexpected argument %s", words[0])
	}
	return nil
}

// apply takes one option into the request.
func (e *Env) apply(ctx context.Context, r *request, o *option, arg string, given bool) error {
	if o.opt <= lastChecked {
		if r.given[o.opt] {
			return fail("multiple '%s' options specified", optionNames[o.opt])
		}
		r.given[o.opt] = true
	}
	switch o.opt {
	case optService:
		return e.applyService(ctx, r, o, arg)
	case optIPv6:
		if r.service.Fwmark == 0 {
			return fail("-6 used before -f\n") // the empty line is ipvsadm's
		}
		r.service.IPv6, r.mask6 = true, 128
	case optScheduler:
		r.service.Scheduler = arg[:min(len(arg), maxSchedulerName)]
	case optSchedFlags:
		r.flags = arg
	case optOPS:
		r.service.OnePacket = true
	case optPE:
		r.service.PersistenceEngine = arg[:min(len(arg), maxEngineName)]
	case optPersistent:
		return r.applyPersistent(arg, given)
	case optNetmask:
		return e.applyNetmask(ctx, r, arg)
	case optServer:
		return e.applyServer(ctx, r, arg)
	case optForward:
		r.server.Method = methods[o.short]
	case optTunType:
		if _, ok := tunnels[arg]; !ok {
			return fail("illegal tunnel type specified")
		}
		r.tunnelType = arg
	case optTunNoCsum, optTunCsum, optTunRemCsum:
		r.tunnelCheck = strings.TrimPrefix(optionNames[o.opt], "tun-")
	case optMcastGroup:
		return checkGroup(arg)
	}
	return r.applyNumber(o.opt, arg)
}

// methods are the forwarding methods by their option.
var methods = map[byte]control.Method{'g': control.DR, 'i': control.TUN, 'm': control.NAT}

// applyService takes the service that -t, -u, --sctp-service or -f names.
func (e *Env) applyService(ctx context.Context, r *request, o *option, arg string) error {
	if o.long == "fwmark-service" {
		mark, ok := number(arg, 1, maxFwmark)
		if !ok {
			return fail("invalid fwmark value `%s' specified", arg)
		}
		r.service.Fwmark = uint32(mark)
		return nil
	}
	name, _, _ := strings.Cut(o.long, "-")
	r.service.Protocol = control.Protocol(name)
	a, ok := e.parseAddr(ctx, arg, r.service.Protocol)
	if !ok {
		return fail("illegal virtual server address[:port] specified")
	}
	r.service.Address, r.service.Port = a.Addr, a.Port
	if a.Addr.Is6() {
		r.mask6 = 128 // a mask counts only behind it
	}
	return nil
}

// applyServer takes the server that -r names. Without a port it has the service's, as far as
// that is known by now.
func (e *Env) applyServer(ctx context.Context, r *request, arg string) error {
	p := r.service.Protocol
	if r.service.Fwmark != 0 {
		p = control.TCP // for names of ports
	}
	a, ok := e.parseAddr(ctx, arg, p)
	if !ok {
		return fail("illegal real server address[:port] specified")
	}
	r.server.Address, r.server.Port = a.Addr, a.Port
	if !a.PortGiven {
		r.server.Port = r.service.Port
	}
	return nil
}

// applyPersistent takes the timeout of -p, whose number may be missing.
func (r *request) applyPersistent(arg string, given bool) error {
	r.persistent, r.service.Persistence = true, defaultPersistence
	if !given {
		return nil
	}
	n, ok := number(arg, 1, maxTimeout)
	if !ok {
		return fail("invalid timeout value `%s' specified", arg)
	}
	r.service.Persistence = uint32(n)
	return nil
}

// applyNetmask takes a mask for the family that is known by now.
func (e *Env) applyNetmask(ctx context.Context, r *request, arg string) error {
	if r.ipv6() {
		if r.mask6 = leadingNumber(arg); r.mask6 < 1 || r.mask6 > 128 {
			return fail("illegal ipv6 netmask specified")
		}
		return nil
	}
	mask, ok := e.host(ctx, arg)
	if !ok {
		return fail("illegal virtual server persistent mask specified")
	}
	r.mask4 = mask
	return nil
}

// numbers are the options whose argument is a plain number.
var numbers = map[optionID]struct {
	min, max int64
	name     string // in the message
}{
	optWeight:     {0, maxInt, "weight"},
	optUThreshold: {0, maxInt, "u_threshold"},
	optLThreshold: {0, maxInt, "l_threshold"},
	optTunPort:    {1, maxPort, "tunnel port"},
	optSyncID:     {0, 255, "syncid"},
	optMcastPort:  {1, maxPort, "mcast-port"},
	optMcastTTL:   {1, 255, "mcast-ttl"},
	optSyncMaxLen: {1, maxSyncLen, "sync-maxlen"},
}

// applyNumber takes the argument of a plain number, and does nothing for other options.
func (r *request) applyNumber(o optionID, arg string) error {
	limits, ok := numbers[o]
	if !ok {
		return nil
	}
	n, ok := number(arg, limits.min, limits.max)
	if !ok {
		return fail("illegal %s specified", limits.name)
	}
	switch o {
	case optWeight:
		r.server.Weight = int(n)
	case optUThreshold:
		r.server.UpperThreshold = uint32(n)
	case optLThreshold:
		r.server.LowerThreshold = uint32(n)
	case optTunPort:
		r.tunnelPort = uint16(n)
	}
	return nil
}

// spelling is how the option is best written in a message.
func (o *option) spelling() string {
	if o.long != "" {
		return "--" + o.long
	}
	return "-" + string(rune(o.short))
}
