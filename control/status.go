package control

import (
	"net/netip"
	"time"
)

// State is where a director is in its life.
type State string

// The states of a director, in the order it goes through them.
const (
	StateStarting State = "starting" // interfaces, steering and addresses are being set up
	StateRunning  State = "running"  // packets are forwarded
	StateStopping State = "stopping" // addresses and steering are being taken away
)

// Status is the answer to GET /v1/status: one consistent-enough picture of a
// director. Counters are read one after the other while packets pass, so sums may
// differ by a few packets. A Status is a value that nobody changes afterwards.
type Status struct {
	// Version is the uvs version as `uvs version` prints it.
	Version string `json:"version"`
	// PID is the director's process id in its own pid namespace.
	PID int `json:"pid"`
	// State is where the director is in its life.
	State State `json:"state"`
	// Started is when the process started, and Uptime the time since then by the
	// director's own clock.
	Started time.Time `json:"started"`
	Uptime  Seconds   `json:"uptime_seconds"`
	// RunDir is the run directory, which tells directors on one machine apart.
	RunDir string `json:"run_dir"`

	Config     Config      `json:"config"`
	Steering   Steering    `json:"steering"`
	Flows      Flows       `json:"flows"`
	Rings      Rings       `json:"rings"`
	Workers    []Worker    `json:"workers"`
	Interfaces []Interface `json:"interfaces"`
	Addresses  []Address   `json:"addresses"`
	// VRRP is nil if the configuration has no vrrp_instance.
	VRRP *VRRP `json:"vrrp,omitempty"`

	// Services holds every configured service with every configured server, whether
	// or not the server is in the table now. ServiceList holds the table.
	Services []Service `json:"services"`

	// Drops counts the frames that were taken and not passed on, by reason. Reasons
	// that never happened may be missing. The names are those of
	// forwarding.DropReason.
	Drops map[string]uint64 `json:"drops"`

	// Passed counts the frames that were seen and left to the kernel, by reason: other
	// ports, other protocols, fragments.
	Passed map[string]uint64 `json:"passed"`
	// Made counts the frames that were not received but made here, by kind: ICMP errors,
	// resets, fragments. The names are those of forwarding.Made.
	Made map[string]uint64 `json:"made"`
	// Host is what the preflight found on the machine and its neighbours, problems first. It
	// is looked at again while the director runs.
	Host []Finding `json:"host"`
	// Notes are sentences for the operator: what the configuration asks for and this
	// version does not serve yet, and what the director found on the machine that
	// deserves a look. Each is one line, with file:line:column in front where it comes
	// from the configuration.
	Notes []string `json:"notes"`
}

// A Finding is something about the machine or its neighbours that an operator should know.
type Finding struct {
	// Problem: the site does not work as it is meant to until this is changed.
	Problem bool `json:"problem"`
	// Text says in one line what was found and what to do.
	Text string `json:"text"`
	// Since is when it was found first.
	Since time.Time `json:"since"`
}

// Config is the configuration that runs.
type Config struct {
	// File is the path as given to -f.
	File string `json:"file"`
	// Loaded is when it was read last.
	Loaded time.Time `json:"loaded"`
	// Errors counts what does not run as written, Notes what runs but deserves a
	// look. `uvs check` prints them.
	Errors int `json:"errors"`
	Notes  int `json:"notes"`
}

// Steering is how the kernel's own stack is kept off the packets that we forward.
type Steering struct {
	// Backend is "tcx", "clsact", "nft", "iptables" or "bare".
	Backend string `json:"backend"`
	// Reason is why this backend is in use, empty if it is the best of all.
	Reason string `json:"reason,omitempty"`
	// PassedOver are the better backends that do not work here, the best first. There are
	// none if the backend was asked for by --steer.
	PassedOver []PassedOver `json:"passed_over,omitempty"`
	// Limits are sentences about what other backends promise and this one does not.
	Limits []string `json:"limits,omitempty"`
}

// PassedOver is a steering backend that was tried and does not work.
type PassedOver struct {
	Backend string `json:"backend"`
	// Reason goes on where the name stands: "needs Linux 6.6 or newer (running 6.1)".
	Reason string `json:"reason"`
}

// Flows is the fill of the flow table.
type Flows struct {
	// Current is the number of flows now and Max the number that fit.
	Current uint64 `json:"current"`
	Max     uint64 `json:"max"`
	// MaxSource says what Max comes from: "from memory" or "--max-connections".
	MaxSource string `json:"max_source,omitempty"`
	// Created and Expired count since the start.
	Created uint64 `json:"created"`
	Expired uint64 `json:"expired"`
}

// Rings is the memory of all receive rings and buffers together.
type Rings struct {
	// Bytes is what they take now and Budget what they may take at the most.
	Bytes  uint64 `json:"bytes"`
	Budget uint64 `json:"budget"`
	// Source says what Budget comes from, for instance "1/16 of 512 MiB of
	// /sys/fs/cgroup/memory.max" or "--ring-memory".
	Source string `json:"source,omitempty"`
}

// Worker is one forwarding thread.
type Worker struct {
	// ID counts from 0.
	ID int `json:"id"`
	// CPU is the core it is pinned to, or -1 if it is not.
	CPU int `json:"cpu"`
	// Packets counts the frames it took, from all interfaces, since the start.
	Packets uint64 `json:"packets"`
}

// Interface is one captured network interface, all workers together.
type Interface struct {
	Name string `json:"name"`
	// Index is the kernel's interface index, which outlives a rename.
	Index int `json:"index"`
	// Up tells that the interface is up and has a carrier.
	Up bool `json:"up"`
	// Mode names how frames come in and go out, for instance
	// "tpacket_v2/sendmmsg".
	Mode string `json:"mode"`
	// Reason is why this mode and not the one that was asked for or is best, empty if
	// there is nothing to tell.
	Reason string `json:"reason,omitempty"`
	// RingSlots is the number of frames of one segment that the receive rings hold at
	// the least, all workers together, and RingBytes the memory that this takes.
	RingSlots int    `json:"ring_slots"`
	RingBytes uint64 `json:"ring_bytes"`
	// RxFrames and TxFrames count frames received from and sent to the interface. These
	// and the following counters go on when an interface of the same name comes back.
	RxFrames uint64 `json:"rx_frames"`
	TxFrames uint64 `json:"tx_frames"`
	// RingDrops counts frames that the kernel dropped because a ring was full
	// (PACKET_STATISTICS): the workers were too slow.
	RingDrops uint64 `json:"ring_drops"`
	// TxErrors counts frames that the kernel refused to send, and TxError is the last
	// refusal.
	TxErrors uint64 `json:"tx_errors"`
	TxError  string `json:"tx_error,omitempty"`
}

// AddressState is what became of a virtual address.
type AddressState string

// The states of a virtual address.
const (
	AddressStandby AddressState = "standby" // the instance that it belongs to is not MASTER
	AddressAdded   AddressState = "added"   // put on the interface by us, removed at exit
	AddressPresent AddressState = "present" // was there before us, stays at exit
	AddressFailed  AddressState = "failed"  // could not be added: see Detail
	// AddressAnswered: on no interface; we answer for it ourselves (bare steering).
	AddressAnswered AddressState = "answered"
)

// Address is a virtual address that the director looks after.
type Address struct {
	// Address is the address with the length it has on the interface.
	Address   netip.Prefix `json:"address"`
	Interface string       `json:"interface"`
	// Instance is the vrrp_instance that it belongs to, empty for static ones.
	Instance string       `json:"instance,omitempty"`
	State    AddressState `json:"state"`
	// ConflictMAC is the hardware address, in lower-case colon form, of another host that
	// answers for an address of ours.
	ConflictMAC string `json:"conflict_mac,omitempty"`
	// Detail is the error behind AddressFailed.
	Detail string `json:"detail,omitempty"`
}
