package command

import (
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Program is what to run and as whom. A Runner keeps it until its Result is told and never writes to it.
type Program struct {
	// Args are the path and the arguments, at least the path. A path without a slash is looked for in PATH. A file
	// without "#!" is run by /bin/sh. A single argument of "<" and an absolute path runs nothing: it succeeds if the
	// user can open the file.
	Args []string
	// As is whom it runs as; nil is as we are.
	As *Credential
	// Timeout is how long it may run until it is told to end, 0 for as long as it likes.
	Timeout time.Duration
	// Secure refuses to run it as root where [CheckPath] finds fault (enable_script_security).
	Secure bool
}

// String returns the arguments as one line.
func (p Program) String() string { return strings.Join(p.Args, " ") }

// A Credential is a user as the kernel knows it.
type Credential struct {
	UID, GID uint32
	// Groups are the supplementary groups. keepalived 2.2.7 leaves a script only its GID.
	Groups []uint32
}

// LookupUser finds a user by name or number in the host's user database; group replaces its own group unless it is "".
// The only supplementary group is that group, unless supplementary asks for all the user is in.
func LookupUser(name, group string, supplementary bool) (*Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		byID, errID := user.LookupId(name)
		if errID != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		u = byID
	}
	gid := u.Gid
	if group != "" {
		if gid, err = lookupGroup(group); err != nil {
			return nil, err
		}
	}
	c := &Credential{}
	if c.UID, err = number(u.Uid); err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	if c.GID, err = number(gid); err != nil {
		return nil, fmt.Errorf("group of user %s: %w", name, err)
	}
	c.Groups = []uint32{c.GID}
	if !supplementary {
		return c, nil
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of user %s: %w", name, err)
	}
	for _, id := range ids {
		if n, err := number(id); err == nil && !slices.Contains(c.Groups, n) {
			c.Groups = append(c.Groups, n)
		}
	}
	return c, nil
}

func lookupGroup(name string) (gid string, err error) {
	g, err := user.LookupGroup(name)
	if err == nil {
		return g.Gid, nil
	}
	if byID, errID := user.LookupGroupId(name); errID == nil {
		return byID.Gid, nil
	}
	return "", fmt.Errorf("group %s: %w", name, err)
}

func number(id string) (uint32, error) {
	const base, bits = 10, 32
	n, err := strconv.ParseUint(id, base, bits)
	return uint32(n), err
}

// An Outcome is how a program ended.
type Outcome uint8

// The outcomes.
const (
	// NotStarted: it never ran; Result.Err says why.
	NotStarted Outcome = iota
	// Exited: it ended by itself with Result.Status, 0 to 255.
	Exited
	// Signalled: it was ended by the signal Result.Status, which was not ours.
	Signalled
	// TimedOut: it was told to end as its Timeout was over, whatever it then answered.
	TimedOut
	// Stopped: it was told to end as the Runner ended, or its caller wanted it no more.
	Stopped
)

// String returns the outcome as a lower-case phrase.
func (o Outcome) String() string {
	switch o {
	case NotStarted:
		return "not started"
	case Exited:
		return "exited"
	case Signalled:
		return "signalled"
	case TimedOut:
		return "timed out"
	case Stopped:
		return "stopped"
	}
	return "unknown"
}

// A Result is how a run ended.
type Result struct {
	Outcome Outcome
	// Status is the exit status of Exited and the number of the signal of Signalled.
	Status int
	// Err is why a program was NotStarted. errors.Is knows [ErrBusy], [ErrStopped] and what the system answered,
	// errors.As an [*UnsafeError].
	Err error
	// Took is the time from start to end, 0 if there was none.
	Took time.Duration
}

// String returns such as "exited with status 1", "ended by signal 9", "timed out".
func (r Result) String() string {
	switch r.Outcome {
	case Exited:
		return fmt.Sprintf("exited with status %d", r.Status)
	case Signalled:
		return fmt.Sprintf("ended by signal %d", r.Status)
	case NotStarted:
		return fmt.Sprintf("could not be started: %v", r.Err)
	}
	return r.Outcome.String()
}

// Ours reports whether a program was not started for a reason that says nothing about it: too much is running, or the
// system has no process, memory or descriptor to spare.
func (r Result) Ours() bool {
	return r.Outcome == NotStarted &&
		(errors.Is(r.Err, ErrBusy) || errors.Is(r.Err, ErrStopped) || shortage(r.Err))
}

var (
	// ErrBusy is the Err of a program that found no room, not even to wait.
	ErrBusy = errors.New("too many programs are running and waiting")
	// ErrStopped is the Err of a program that was asked for after the end of the Runner.
	ErrStopped = errors.New("programs are no longer started")
)
