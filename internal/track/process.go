package track

import (
	"slices"
	"strings"
	"time"

	"uvs/internal/mono"
)

// A Match says which parameters a process must have.
type Match uint8

// The ways to compare parameters.
const (
	MatchNone    Match = iota // any
	MatchExact                // these and no more
	MatchPartial              // these first
	MatchInitial              // these first, and the last of them may go on
)

// A Process is a program of which some number must run.
type Process struct {
	Name string
	// Program is compared with the name that the kernel keeps of a process, or with the first word of its command line
	// if FullCommand is set.
	Program     string
	FullCommand bool
	// Args are compared with the other words of the command line as Match says.
	Args  []string
	Match Match
	// Quorum to QuorumMax processes must run; both 0: none must.
	Quorum, QuorumMax uint32
	// ForkDelay and TerminateDelay are how long enough processes, or not enough, must have been there before that counts.
	ForkDelay, TerminateDelay time.Duration
}

// commLen is the length of the name that the kernel keeps (TASK_COMM_LEN without the zero).
const commLen = 15

// matches reports whether a process with this name and these words of the command line is meant. Zombies have no words.
func (p *Process) matches(comm string, words []string) bool {
	if p.FullCommand {
		if len(words) == 0 || words[0] != p.Program {
			return false
		}
	} else if comm != p.Program[:min(len(p.Program), commLen)] {
		return false
	}
	if p.Match == MatchNone {
		return true
	}
	if len(words) == 0 {
		return false
	}
	args, last := words[1:], len(p.Args)-1
	if len(args) < len(p.Args) || p.Match == MatchExact && len(args) > len(p.Args) {
		return false
	}
	if last < 0 {
		return true
	}
	end := args[last] == p.Args[last] || p.Match == MatchInitial && strings.HasPrefix(args[last], p.Args[last])
	return end && slices.Equal(args[:last], p.Args[:last])
}

// needsWords reports whether the command line has to be read.
func (p *Process) needsWords() bool { return p.FullCommand || p.Match != MatchNone }

// A ProcessMachine decides what a number of processes means. It is owned by one goroutine.
type ProcessMachine struct {
	process *Process
	known   bool
	up      bool
	waiting bool
	since   mono.Time // of waiting: when the number began to say otherwise than up
	count   int
}

// NewProcessMachine returns the machine of a process that has not been counted yet. The machine keeps p and never writes
// to it.
func NewProcessMachine(p *Process) *ProcessMachine { return &ProcessMachine{process: p} }

// Step takes a number of processes counted at now and returns when to step again if nothing changes, 0 for never, and
// what there is to tell. The first number decides at once.
func (m *ProcessMachine) Step(now mono.Time, count int) (next mono.Time, events []Event) {
	p := m.process
	m.count = count
	good := uint64(count) >= uint64(p.Quorum) && uint64(count) <= uint64(p.QuorumMax)
	if !m.known {
		m.known, m.up = true, good
		return 0, []Event{m.event(now)}
	}
	if good == m.up {
		m.waiting = false
		return 0, nil
	}
	if !m.waiting {
		m.waiting, m.since = true, now
	}
	delay := p.TerminateDelay
	if good {
		delay = p.ForkDelay
	}
	if due := m.since.Add(delay); now.Before(due) {
		return due, nil
	}
	m.waiting, m.up = false, good
	return 0, []Event{m.event(now)}
}

func (m *ProcessMachine) event(now mono.Time) Event {
	e := Event{Kind: KindProcess, Name: m.process.Name, Changed: true, Up: m.up, Value: m.count, Time: now}
	if !m.up {
		e.Reason = quorumReason(m.process, m.count)
	}
	return e
}
