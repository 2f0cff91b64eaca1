package vrrp

// A State is that of an instance or a group.
type State uint8

// The states.
const (
	// Init waits: for Start, or for the first result of what is tracked.
	Init State = iota
	Fault
	Backup
	Master
	// Leaving has sent priority 0 and still owns the addresses until it hears a successor.
	Leaving
	// Stopped has left, or was removed by a reload.
	Stopped
)

// String returns keepalived's word.
func (s State) String() string {
	switch s {
	case Init:
		return "INIT"
	case Fault:
		return "FAULT"
	case Backup:
		return "BACKUP"
	case Master:
		return "MASTER"
	case Leaving:
		return "LEAVING"
	}
	return "STOP"
}
