package ipvsadm

import (
	"strconv"
	"strings"

	"uvs/control"
)

// check applies the rules about options that hold together, in ipvsadm's order.
func (r *request) check() error {
	var err error
	if r.service.Flags, err = schedulerFlags(r.service.Scheduler, r.flags); err != nil {
		return err // also with commands that have no such option
	}
	c := commands[r.cmd]
	if err := c.rules.check(r.given, c.name, "command", noOption+1, lastChecked); err != nil {
		return err
	}
	switch r.cmd {
	case cmdAddService, cmdEditService:
		return r.checkService()
	case cmdAddServer, cmdEditServer:
		return r.checkServer()
	case cmdList:
		return r.checkList()
	}
	return nil
}

// check applies the rules to the options from first to last that are given. The name and
// the kind of what they are rules of are for messages.
func (rs rules) check(given map[optionID]bool, name, kind string, first, last optionID) error {
	chosen := noOption
	for o := first; o <= last; o++ {
		switch rule := rs[o]; {
		case !given[o] && rule == required:
			return fail("You need to supply the '%s' option for the '%s' %s", optionNames[o], name, kind)
		case !given[o] || rule == optional || rule == required:
		case rule == illegal:
			return fail("Illegal '%s' option with the '%s' %s", optionNames[o], name, kind)
		case chosen != noOption:
			return fail("The option '%s' conflicts with the '%s' option in the '%s' %s",
				optionNames[o], optionNames[chosen], name, kind)
		default:
			chosen = o
		}
	}
	return nil
}

// checkService checks what a service is to be, and completes it.
func (r *request) checkService() error {
	s := &r.service
	if s.Fwmark == 0 && s.Port == 0 && !r.persistent {
		return fail("Zero port specified for non-persistent service")
	}
	if s.OnePacket && s.Fwmark == 0 && s.Protocol != control.UDP {
		return fail("One-Packet Scheduling is only for UDP virtual services")
	}
	if s.Scheduler == "" {
		s.Scheduler = "wlc"
	}
	switch {
	case !r.persistent: // then a mask is of no use
	case r.ipv6() && r.mask6 != 128:
		s.Netmask = strconv.Itoa(r.mask6)
	case !r.ipv6() && r.mask4.String() != "255.255.255.255":
		s.Netmask = r.mask4.String()
	}
	return nil
}

// flagNames are the flags that -b knows, each with the scheduler that has it and its bit.
var flagNames = []struct {
	name, scheduler string
	bit             int
}{
	{"sh-fallback", "sh", 1},
	{"sh-port", "sh", 2},
	{"mh-fallback", "mh", 1},
	{"mh-port", "mh", 2},
	{"flag-1", "", 1},
	{"flag-2", "", 2},
	{"flag-3", "", 3},
}

// schedulerFlags returns the flags of a comma list under their best names: flag-1 of sh is
// sh-fallback.
func schedulerFlags(scheduler, list string) ([]string, error) {
	var bits [4]bool
words:
	for word := range strings.SplitSeq(list, ",") {
		if word == "" {
			continue
		}
		for _, f := range flagNames {
			if f.name != word {
				continue
			}
			if f.scheduler != "" && f.scheduler != scheduler {
				return nil, fail("incompatible scheduler flag `%s'", word)
			}
			bits[f.bit] = true
			continue words
		}
		return nil, fail("invalid scheduler flag `%s'", word)
	}
	var names []string
	for bit, set := range bits {
		if set {
			names = append(names, flagName(scheduler, bit))
		}
	}
	return names, nil
}

// flagName is the first name that fits.
func flagName(scheduler string, bit int) string {
	for _, f := range flagNames {
		if f.bit == bit && (f.scheduler == scheduler || f.scheduler == "") {
			return f.name
		}
	}
	return "" // there are no other bits
}

// checkServer checks what a server is to be, and completes it.
func (r *request) checkServer() error {
	s := &r.server
	if r.service.Fwmark == 0 && s.Method != control.NAT {
		s.Port = r.service.Port // packets keep it
	}
	if s.Address.Is6() != r.ipv6() && s.Method != control.TUN {
		return fail("Different address family is allowed only for tunneling servers")
	}
	if s.Method != control.TUN {
		for _, o := range tunnelOptions {
			if r.given[o] {
				return fail("Tunnel options conflict with forward method")
			}
		}
		return nil
	}
	if err := tunnels[r.tunnelType].check(r.given, r.tunnelType, "tunnel type", optTunType, optTunRemCsum); err != nil {
		return err
	}
	s.Tunnel = &control.Tunnel{Type: r.tunnelType, Port: r.tunnelPort, Checksum: r.tunnelCheck}
	return nil
}

// checkList refuses what listings cannot show together.
func (r *request) checkList() error {
	state := r.given[optConnection] || r.given[optTimeout] || r.given[optDaemon]
	numbers := r.given[optStats] || r.given[optRate] || r.given[optThresholds]
	if state && numbers || (r.given[optTimeout] || r.given[optDaemon]) && r.given[optPersistentConn] {
		return fail("options conflicts in the list command")
	}
	return nil
}
