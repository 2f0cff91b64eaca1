package track

import (
	"fmt"
	"time"

	"uvs/internal/command"
	"uvs/internal/mono"
)

// A State is what is known of a script.
type State uint8

// The states.
const (
	Unknown State = iota // not run to an end yet: the first result decides at once
	Up
	Down
)

// String returns "unknown", "up" or "down".
func (s State) String() string {
	switch s {
	case Up:
		return "up"
	case Down:
		return "down"
	}
	return "unknown"
}

// A Script is a program that is run again and again. Equal ones may share a Program's slices.
type Script struct {
	Name string
	// Program is what is run; its Timeout is over 0.
	Program command.Program
	// Interval is from one start to the next, over 0.
	Interval time.Duration
	// Rise and Fall are how many results in a row change the state; below 1 is 1.
	Rise, Fall int
	// InitFail takes the script for Down until its first result, which then decides.
	InitFail bool
	// Start is the state to begin with: after a reload what it was before. InitFail is of no account then.
	Start State
}

// A ScriptMachine decides what the results of one script mean. It is owned by one goroutine.
//
// The rules are those of keepalived 2.2.7 (vrrp/vrrp_scheduler.c, vrrp_script_child_thread), except that a program that
// cannot be started counts as failed where keepalived takes it for a success, unless that was our own fault.
type ScriptMachine struct {
	name       string
	rise, fall int
	// score is from 0 (down, no success) by rise (up, the next failure is the last) to rise + fall - 1 (up, no failure).
	score      int
	first      bool // there was no result yet, so that the next one decides
	initFail   bool
	lastStatus int
}

// NewScriptMachine returns the machine of a script that has not run yet.
func NewScriptMachine(s *Script) *ScriptMachine {
	m := &ScriptMachine{name: s.Name, rise: max(s.Rise, 1), fall: max(s.Fall, 1), initFail: s.InitFail}
	switch s.Start {
	case Up:
		m.score = m.rise + m.fall - 1
	case Unknown:
		m.first = true
		m.score = m.rise - 1
	}
	return m
}

// State returns what is known of the script.
func (m *ScriptMachine) State() State {
	switch {
	case m.first && !m.initFail:
		return Unknown
	case m.score >= m.rise:
		return Up
	}
	return Down
}

// Step takes the result of a run that ended at now and returns what there is to tell, mostly nothing. The slice is the
// caller's.
func (m *ScriptMachine) Step(now mono.Time, r command.Result) []Event {
	if r.Ours() || r.Outcome == command.Stopped {
		return m.ignored(now, r)
	}
	var events []Event
	if r.Outcome == command.Exited && r.Status != m.lastStatus {
		m.lastStatus = r.Status
		events = append(events, m.event(now, fmt.Sprintf("Script `%s` now returning %d", m.name, r.Status)))
	}
	before, first := m.State(), m.first
	success := r.Outcome == command.Exited && r.Status == 0
	m.count(success)
	m.first = false
	if changed := m.State() != before; changed || first {
		e := m.event(now, fmt.Sprintf("VRRP_Script(%s) %s", m.name, verdict(r, success)))
		e.Changed = changed
		if !success {
			e.Reason = r.String()
		}
		events = append(events, e)
	}
	for i := range events {
		events[i].Up = m.State() == Up
	}
	return events
}

// count moves the score by one result.
func (m *ScriptMachine) count(success bool) {
	switch {
	case success && m.score >= m.rise-1:
		m.score = m.rise + m.fall - 1
	case success:
		m.score++
	case m.score > m.rise:
		m.score--
	default:
		m.score = 0
	}
}

// ignored is a run that says nothing about the script.
func (m *ScriptMachine) ignored(now mono.Time, r command.Result) []Event {
	if r.Outcome == command.Stopped || r.Err == nil {
		return nil
	}
	return []Event{m.event(now, fmt.Sprintf("VRRP_Script(%s) not run: %v", m.name, r.Err))}
}

func (m *ScriptMachine) event(now mono.Time, message string) Event {
	return Event{Kind: KindScript, Name: m.name, Up: m.State() == Up, Time: now, Message: message}
}

// verdict is the second half of the line about a change.
func verdict(r command.Result, success bool) string {
	switch {
	case success:
		return "succeeded"
	case r.Outcome == command.TimedOut:
		return "timed_out"
	case r.Outcome == command.Signalled:
		return fmt.Sprintf("failed (due to signal %d)", r.Status)
	}
	return fmt.Sprintf("failed (%v)", r) // "exited with status 1", "could not be started: …"
}
