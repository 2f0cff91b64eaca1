package control

import (
	"net/netip"
	"time"
)

// VRRP is what floats between directors.
type VRRP struct {
	Instances []VRRPInstance `json:"instances"`
	Groups    []VRRPGroup    `json:"groups,omitempty"`
	Timers    VRRPTimers     `json:"timers"`
}

// VRRPInstance is a vrrp_instance.
type VRRPInstance struct {
	Name string `json:"name"`
	// Interface is where its adverts go, empty for unicast without one.
	Interface string `json:"interface,omitempty"`
	VRID      uint8  `json:"vrid"`
	Version   uint8  `json:"version"`
	IPv6      bool   `json:"ipv6,omitempty"`
	Group     string `json:"group,omitempty"`
	// State is INIT, FAULT, BACKUP, MASTER, LEAVING or STOP; Since is when it began, the zero
	// time before the start, and Reason why.
	State  string    `json:"state"`
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
	// Priority is the configured one, Effective what tracking makes of it.
	Priority  uint8 `json:"priority"`
	Effective uint8 `json:"effective_priority"`
	// Source is the address that adverts come from, the zero Addr while there is none.
	Source netip.Addr `json:"source"`
	// Master is another router, which sent the last good advert, with MasterPriority.
	Master         netip.Addr `json:"master"`
	MasterPriority uint8      `json:"master_priority,omitempty"`
	// Conflict is another master beside this one, nil if there is none.
	Conflict *VRRPConflict `json:"conflict,omitempty"`

	AdvertsSent     uint64 `json:"adverts_sent"`
	AdvertsReceived uint64 `json:"adverts_received"`
	BecameMaster    uint64 `json:"became_master"`
	ReleasedMaster  uint64 `json:"released_master"`
	// Conflicts counts masters that were found beside this one.
	Conflicts uint64 `json:"conflicts"`
	// Rejected counts adverts that were refused, by cause; those that never were are missing.
	Rejected map[string]uint64 `json:"rejected,omitempty"`
}

// VRRPConflict is another master beside one of ours.
type VRRPConflict struct {
	Peer  netip.Addr `json:"peer"`
	Since time.Time  `json:"since"`
	// Reason is why the two do not settle it.
	Reason string `json:"reason"`
	// Adverts is how many of its adverts were heard, the last one at LastHeard. keepalived is
	// silent, and MASTER still, as long as it refuses ours.
	Adverts   uint64    `json:"adverts"`
	LastHeard time.Time `json:"last_heard"`
}

// VRRPGroup is a vrrp_sync_group.
type VRRPGroup struct {
	Name    string   `json:"name"`
	Members []string `json:"members"`
	State   string   `json:"state"`
}

// VRRPTimers is how late the timers of VRRP were served since the start. As long as that is
// far below an advert interval no takeover is this director's own fault.
type VRRPTimers struct {
	Deadlines uint64        `json:"deadlines"`
	Mean      ExactDuration `json:"mean_late_seconds"`
	Worst     ExactDuration `json:"worst_late_seconds"`
	// Recent is the worst of the last minute.
	Recent ExactDuration `json:"recent_late_seconds"`
}
