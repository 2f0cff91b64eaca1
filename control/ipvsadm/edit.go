package ipvsadm

import (
	"errors"

	"uvs/control"
)

// edit returns the change that a command asks for; ok is false for commands that ask for
// none.
func (r *request) edit() (e control.Edit, ok bool) {
	key := control.Service{
		Fwmark: r.service.Fwmark, IPv6: r.service.IPv6,
		Protocol: r.service.Protocol, Address: r.service.Address, Port: r.service.Port,
	}
	switch r.cmd {
	case cmdAddService:
		return control.Edit{Op: control.AddService, Service: r.service}, true
	case cmdEditService:
		return control.Edit{Op: control.EditService, Service: r.service}, true
	case cmdDeleteService:
		return control.Edit{Op: control.DeleteService, Service: key}, true
	case cmdAddServer:
		return control.Edit{Op: control.AddServer, Service: key, Server: r.server}, true
	case cmdEditServer:
		return control.Edit{Op: control.EditServer, Service: key, Server: r.server}, true
	case cmdDeleteServer:
		return control.Edit{Op: control.DeleteServer, Service: key, Server: control.Server{Address: r.server.Address, Port: r.server.Port}}, true
	case cmdClear:
		return control.Edit{Op: control.Clear}, true
	case cmdZero:
		if r.given[optService] {
			return control.Edit{Op: control.Zero, Service: key}, true
		}
		return control.Edit{Op: control.ZeroAll}, true
	case cmdSet:
		return control.Edit{Op: control.SetTimeouts, Timeouts: r.timeouts}, true
	}
	return control.Edit{}, false
}

// refusals are the texts that libipvs has for an operation and a code (ipvs_strerror).
var refusals = map[control.Op]map[control.Code]string{
	control.AddService: {
		control.CodeExists:   "Service already exists",
		control.CodeNotFound: "Scheduler or persistence engine not found",
	},
	control.EditService: {
		control.CodeNoService: "No such service",
		control.CodeNotFound:  "Scheduler or persistence engine not found",
	},
	control.DeleteService: {control.CodeNoService: "No such service"},
	control.Zero:          {control.CodeNoService: "No such service"},
	control.AddServer: {
		control.CodeNoService: "Service not defined",
		control.CodeExists:    "Destination already exists",
	},
	control.EditServer: {
		control.CodeNoService: "Service not defined",
		control.CodeNotFound:  "No such destination",
	},
	control.DeleteServer: {
		control.CodeNoService: "Service not defined",
		control.CodeNotFound:  "No such destination",
	},
}

// anyRefusal are the texts that go with every operation: libipvs's own, then those of the C
// library for codes that libipvs has no text for.
var anyRefusal = map[control.Code]string{
	control.CodePermission: "Permission denied (you must be root)",
	control.CodeInvalid:    "Invalid operation.  Possibly wrong module version, address not unicast, ...",
	control.CodeNoMemory:   "Memory allocation problem",
	control.CodeFamily:     "Operation not supported with specified address family",

	control.CodeRange:     "Numerical result out of range",
	control.CodeExists:    "File exists",
	control.CodeNotFound:  "No such file or directory",
	control.CodeNoService: "No such process",
}

// refusal is the failure of an edit. Codes that IPVS does not have tell what the director
// says.
func refusal(op control.Op, err error) *failure {
	var refused *control.EditError
	if !errors.As(err, &refused) {
		return noDirector(err)
	}
	text, ok := refusals[op][refused.Code]
	if !ok {
		text, ok = anyRefusal[refused.Code]
	}
	if !ok {
		text = refused.Error()
	}
	return &failure{status: exitRefused, text: text, goesOn: true}
}

// noDirector is the failure to reach the director at all.
func noDirector(err error) *failure { return fail("Can't initialize ipvs: %v", err) }
