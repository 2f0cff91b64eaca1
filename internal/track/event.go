package track

import "uvs/internal/mono"

// A Kind is what is tracked.
type Kind uint8

// The kinds.
const (
	KindScript  Kind = iota // a vrrp_script
	KindFile                // a track_file
	KindProcess             // a vrrp_track_process
)

// String returns the kind's word: "script", "file", "process".
func (k Kind) String() string {
	switch k {
	case KindScript:
		return "script"
	case KindFile:
		return "file"
	case KindProcess:
		return "process"
	}
	return "unknown"
}

// An Event is what was learnt about one tracked thing.
type Event struct {
	Kind Kind
	Name string
	// Changed says that Up or Value is new, or known for the first time. Events without it are there for their Message.
	Changed bool
	// Up is the state of a script or process after the event, also if it did not change.
	Up bool
	// Value is the number in a file, or how many processes there are.
	Value int
	// Reason is why it is so, such as "exited with status 1"; "" for good news.
	Reason string
	Time   mono.Time
	// Message is a log line in keepalived's words, "" where keepalived is silent. Detail marks one that keepalived
	// writes only with -D.
	Message string
	Detail  bool
}
