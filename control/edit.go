package control

import (
	"errors"
	"fmt"
)

// Op is what an Edit does.
type Op string

// The operations, with the commands of ipvsadm that they stand for.
const (
	AddService    Op = "add_service"    // -A
	EditService   Op = "edit_service"   // -E: replaces all settings
	DeleteService Op = "delete_service" // -D
	AddServer     Op = "add_server"     // -a
	EditServer    Op = "edit_server"    // -e: replaces all settings
	DeleteServer  Op = "delete_server"  // -d
	Clear         Op = "clear"          // -C
	Zero          Op = "zero"           // -Z of one service
	ZeroAll       Op = "zero_all"       // -Z
	SetTimeouts   Op = "set_timeouts"   // --set
)

// An Edit is one change of the service table by an operator. Of Service and Server it is
// the key and, where something is added or edited, the settings that count; counters,
// states, origins and the like are ignored.
type Edit struct {
	Op Op `json:"op"`
	// Service names the service, but for Clear, ZeroAll and SetTimeouts.
	Service Service `json:"service,omitzero"`
	// Server is looked at by AddServer, EditServer and DeleteServer.
	Server Server `json:"server,omitzero"`
	// Timeouts are looked at by SetTimeouts.
	Timeouts Timeouts `json:"timeouts,omitzero"`
}

// Code is why an Edit was refused: the name of the errno that IPVS answers with
// (net/netfilter/ipvs/ip_vs_ctl.c).
type Code string

// The codes. What they mean depends on the operation; ipvsadm has a text for each pair.
const (
	CodeExists     Code = "EEXIST"       // the service or server is there already
	CodeNotFound   Code = "ENOENT"       // no such server; no such scheduler when a service is added or edited
	CodeNoService  Code = "ESRCH"        // no such service
	CodeInvalid    Code = "EINVAL"       // a value that IPVS refuses; Message names it
	CodeRange      Code = "ERANGE"       // lower threshold above the upper
	CodeNoMemory   Code = "ENOMEM"       // a bound of ours is reached
	CodeFamily     Code = "EAFNOSUPPORT" // the operation does not do with this address family
	CodePermission Code = "EPERM"        // the calling user may not
	CodeFailed     Code = "EIO"          // the table would have it, but packets could not be captured or steered
)

// An EditError is why none of a list of edits was done.
type EditError struct {
	// Index is the place in the list of the edit that was refused, from 0.
	Index int `json:"index"`
	// Code is IPVS's answer to it.
	Code Code `json:"code"`
	// Message says in words what was refused and why.
	Message string `json:"message"`
}

// Error returns the message.
func (e *EditError) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("refused: %s", e.Code)
	}
	return e.Message
}

// CodeOf returns the code of an EditError in err's tree, "" if there is none.
func CodeOf(err error) Code {
	var e *EditError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
