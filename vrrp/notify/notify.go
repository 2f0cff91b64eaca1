// Package notify says what is to be done when an instance or a sync group of VRRP changes its state: which programs are
// run with which arguments, which lines go into the FIFOs, and whether a mail is due, in the order of keepalived 2.2.7. It
// does none of it.
package notify

import (
	"fmt"
	"slices"
	"strconv"
)

// An Event is something that is told.
type Event uint8

// The events. Of groups only the first four are told.
const (
	Master Event = iota
	Backup
	Fault
	Stop
	// Deleted: a reload has removed the instance.
	Deleted
	// MasterRxLowerPri: a master has heard an advert of lower priority.
	MasterRxLowerPri
	// MasterPriority and BackupPriority: the effective priority has changed, in MASTER and in any other state.
	MasterPriority
	BackupPriority
)

// String returns keepalived's word, such as "MASTER_RX_LOWER_PRI".
func (e Event) String() string {
	switch e {
	case Master:
		return "MASTER"
	case Backup:
		return "BACKUP"
	case Fault:
		return "FAULT"
	case Stop:
		return "STOP"
	case Deleted:
		return "DELETED"
	case MasterRxLowerPri:
		return "MASTER_RX_LOWER_PRI"
	case MasterPriority:
		return "MASTER_PRIORITY"
	case BackupPriority:
		return "BACKUP_PRIORITY"
	}
	return "{UNKNOWN}"
}

// A Command is a program with its arguments and who runs it; "" is for who is configured by default.
type Command struct {
	Args        []string
	User, Group string
}

// Config is what an instance or a group is to tell.
type Config struct {
	// The commands of one event each, and that of all; nil for none. Deleted and MasterRxLowerPri are of instances only.
	Master, Backup, Fault, Stop, Deleted, MasterRxLowerPri, Any *Command
	// OnDelete tells of the end by a reload as DELETED; without it and without Deleted that is told as FAULT, but for the
	// command Fault, which is not run.
	OnDelete bool
	// PriorityChanges tells them to the FIFOs.
	PriorityChanges bool
	// Mail sends mail for each state, NoFaultMail not for FAULT (no_email_faults).
	Mail, NoFaultMail bool
}

// A Subject is an instance or a group. It is owned by one goroutine.
type Subject struct {
	name   string
	group  bool
	config Config
	mailed Event // the state of the last mail
	mail   bool  // there was one
}

// Instance returns the Subject of a vrrp_instance. It keeps c's commands and never writes to them.
func Instance(name string, c Config) *Subject { return &Subject{name: name, config: c} }

// Group returns the Subject of a vrrp_sync_group.
func Group(name string, c Config) *Subject { return &Subject{name: name, group: true, config: c} }

// An Act is one thing to do; exactly one of its fields is set.
type Act struct {
	// Run is a program to start and not to wait for. Its Args are nobody else's.
	Run *Command
	// Line, with its newline, is to be written into notify_fifo and vrrp_notify_fifo.
	Line string
	// Mail is due for this state: Master, Backup, Fault, Stop or Deleted.
	Mail *Event
}

// Acts returns what is to be done, in order: the program of the event with its own arguments, the program of all events
// with four further ones, the line, the mail. Each change of state is to be given once; the same state again sends no
// second mail. priority is the effective one; of groups it is told as 0. The slice is the caller's.
//
// Source: keepalived 2.2.7, vrrp/vrrp_notify.c, send_instance_notifies and send_group_notifies.
func (s *Subject) Acts(e Event, priority uint8) []Act {
	command := s.command(e)
	switch e {
	case MasterPriority, BackupPriority:
		if !s.config.PriorityChanges || s.group {
			return nil
		}
		return []Act{{Line: s.Line(e, priority)}}
	case MasterRxLowerPri:
		if s.group {
			return nil
		}
		return append(own(command), Act{Line: s.Line(e, priority)})
	case Deleted:
		if s.group {
			return nil
		}
		if s.config.Deleted == nil && !s.config.OnDelete {
			e = Fault
		}
	}
	acts := own(command)
	if c := s.config.Any; c != nil {
		args := append(slices.Clone(c.Args), s.kind(), s.name, e.String(), strconv.Itoa(int(s.told(priority))))
		acts = append(acts, Act{Run: &Command{args, c.User, c.Group}})
	}
	acts = append(acts, Act{Line: s.Line(e, priority)})
	if s.mailDue(e) {
		acts = append(acts, Act{Mail: &e})
	}
	return acts
}

// Line returns the line for the FIFOs. Acts holds it, too; by itself it is for fifo_write_vrrp_states_on_reload.
func (s *Subject) Line(e Event, priority uint8) string {
	return fmt.Sprintf("%s \"%s\" %v %d\n", s.kind(), s.name, e, s.told(priority)) //nolint:gocritic // keepalived does not escape, as %q does
}

// kind returns the first word of what is told.
func (s *Subject) kind() string {
	if s.group {
		return "GROUP"
	}
	return "INSTANCE"
}

// told returns the priority as it is told.
func (s *Subject) told(priority uint8) uint8 {
	if s.group {
		return 0
	}
	return priority
}

// command returns the program of one event.
func (s *Subject) command(e Event) *Command {
	switch e {
	case Master:
		return s.config.Master
	case Backup:
		return s.config.Backup
	case Fault:
		return s.config.Fault
	case Stop:
		return s.config.Stop
	case Deleted:
		return s.config.Deleted
	case MasterRxLowerPri:
		return s.config.MasterRxLowerPri
	}
	return nil
}

// own is the act of a program with its own arguments, none without it.
func own(c *Command) []Act {
	if c == nil {
		return nil
	}
	return []Act{{Run: &Command{slices.Clone(c.Args), c.User, c.Group}}}
}

// mailDue reports whether a state is mailed, and remembers it.
func (s *Subject) mailDue(e Event) bool {
	if !s.config.Mail || e == Fault && s.config.NoFaultMail || s.mail && s.mailed == e {
		return false
	}
	s.mail, s.mailed = true, e
	return true
}
