package health

import "uvs/internal/mono"

// An EventKind says what an [Event] reports.
type EventKind uint8

// The kinds of event.
const (
	// Activated: a checker has started and waits for its first probe.
	Activated EventKind = iota
	// Note: something worth a log line that changes no state.
	Note
	// ProbeFailed: one probe failed while its checker was up. Only with LogAllFailures.
	ProbeFailed
	// CheckSucceeded: a checker came up, or its first round of probes passed.
	CheckSucceeded
	// CheckFailed: a checker went down.
	CheckFailed
	// ServerUp: all checkers of the server are up.
	ServerUp
	// ServerDown: a checker of the server is down.
	ServerDown
	// ServerWeight: checkers make another Weight of the server's.
	ServerWeight
)

// String returns the kind as a lower-case phrase.
func (k EventKind) String() string {
	switch k {
	case Activated:
		return "activated"
	case Note:
		return "note"
	case ProbeFailed:
		return "probe failed"
	case CheckSucceeded:
		return "check succeeded"
	case CheckFailed:
		return "check failed"
	case ServerUp:
		return "server up"
	case ServerDown:
		return "server down"
	case ServerWeight:
		return "server weight"
	}
	return "unknown"
}

// An Event tells what a checker or a server did.
type Event struct {
	Kind EventKind
	Key

	// Initial marks the ServerUp or ServerDown with which a Set opens its reports on a
	// server that is new to it. It is no change, and not worth a log line.
	Initial bool

	Time mono.Time // when it happened

	// Since is when the first of the failed probes ended that led to ProbeFailed,
	// CheckFailed or ServerDown. Zero for all other events.
	Since mono.Time

	// Reason is what the last failed probe met, such as "connect: connection refused".
	// Empty for good news.
	Reason string

	// Weight is that of ServerWeight.
	Weight Weight

	// Message is the log line in keepalived's words. It is empty for ServerUp, ServerDown and
	// ServerWeight, where the line belongs to whoever changes the service table.
	Message string
}
