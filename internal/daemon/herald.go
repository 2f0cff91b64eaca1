package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"uvs/config"
	"uvs/control"
	"uvs/internal/command"
	"uvs/internal/mail"
	"uvs/vrrp"
	"uvs/vrrp/notify"
)

// A heraldPlan is who is to be told of VRRP and of servers. Where it stands in the file is in
// where alone: lines that move change nothing.
type heraldPlan struct {
	router            string // router_id
	instances, groups map[string]notify.Config
	fifos             []fifoPlan
	mail              config.Mail
	digest            time.Duration            // collects mails into one; 0 does not
	rules             config.Scripts           // for readers of FIFOs
	where             map[string]config.Pos    // FIFOs, by path
	services          map[string]serviceAlerts // by table.FileService.Group
}

// A fifoPlan is a pipe and what is written into it.
type fifoPlan struct {
	config.FIFO
	vrrp, servers bool
}

// planHerald is who a configuration wants to be told. It is pure.
func planHerald(c *config.Config) heraldPlan {
	p := heraldPlan{
		router: c.RouterID, mail: c.Global.Mail, digest: c.Extra.MailDigest, rules: c.Global.Scripts,
		instances: make(map[string]notify.Config), groups: make(map[string]notify.Config), where: make(map[string]config.Pos),
	}
	for n := range c.Instances {
		p.instances[c.Instances[n].Name] = translateNotify(&c.Instances[n].Notify, &c.Global.Mail)
	}
	for n := range c.SyncGroups {
		p.groups[c.SyncGroups[n].Name] = translateNotify(&c.SyncGroups[n].Notify, &c.Global.Mail)
	}
	for _, f := range []fifoPlan{{c.Global.FIFO, true, true}, {c.Global.VRRPFIFO, true, false}, {c.Global.ServerFIFO, false, true}} {
		if f.Path != "" {
			p.where[f.Path] = f.Pos
			f.Pos = config.Pos{}
			if f.Script != nil {
				script := *f.Script
				script.Pos = config.Pos{}
				f.Script = &script
			}
			p.fifos = append(p.fifos, f)
		}
	}
	p.services = planAlerts(c)
	return p
}

func translateNotify(n *config.Notify, m *config.Mail) notify.Config {
	run := func(c *config.Command) *notify.Command {
		if c == nil {
			return nil
		}
		return &notify.Command{Args: c.Args, User: c.User, Group: c.Group}
	}
	return notify.Config{
		Master: run(n.Master), Backup: run(n.Backup), Fault: run(n.Fault), Stop: run(n.Stop), Any: run(n.Any),
		Deleted: run(n.Deleted), MasterRxLowerPri: run(n.MasterRxLowerPri), OnDelete: n.OnDelete,
		PriorityChanges: n.PriorityChanges, Mail: n.Mail, NoFaultMail: m.NoFaults,
	}
}

// A herald tells programs, pipes and people of what VRRP has come to. It never waits for any
// of them.
type herald struct {
	log      *slog.Logger
	programs *programs

	mu                sync.Mutex // guards what follows
	plan              heraldPlan
	instances, groups map[string]*notify.Subject
	pipes             []*openPipe        // in the order of the plan
	mails             *mail.Queue        // nil for none
	stopMails         context.CancelFunc // nil for none
	ctx               context.Context    // of run; nil before
	ended             sync.WaitGroup     // of pipes and mails
}

func newHerald(log *slog.Logger, p *programs) *herald {
	return &herald{log: log, programs: p, instances: make(map[string]*notify.Subject), groups: make(map[string]*notify.Subject)}
}

// run keeps pipes and mails going until ctx is cancelled.
func (h *herald) run(ctx context.Context) error {
	h.mu.Lock()
	h.ctx = ctx
	pipes, err := h.openPipes(&h.plan, h.programs)
	if err != nil {
		h.log.Error("not every notify FIFO is served", "error", err)
	}
	h.usePipes(pipes)
	h.openMails()
	h.mu.Unlock()
	<-ctx.Done()
	h.ended.Wait()
	return nil
}

// prepare opens what a plan has beside the one in force, to be given to apply. After an error
// nothing is open that was not before.
func (h *herald) prepare(p *heraldPlan, by *programs) ([]*openPipe, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx == nil {
		return nil, nil
	}
	pipes, err := h.openPipes(p, by)
	if err != nil {
		h.drop(pipes)
		return nil, err
	}
	return pipes, nil
}

// discard closes what prepare opened, if there is to be no apply.
func (h *herald) discard(pipes []*openPipe) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(pipes)
}

// apply replaces who is told, with the pipes that prepare has opened for this plan. Instances
// that stay are the same subjects: nobody is told of their state again.
func (h *herald) apply(p heraldPlan, pipes []*openPipe) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.plan
	h.plan = p
	replace := func(subjects map[string]*notify.Subject, before, now map[string]notify.Config, make func(string, notify.Config) *notify.Subject) {
		for name, c := range now {
			if subjects[name] == nil || !reflect.DeepEqual(before[name], c) {
				subjects[name] = make(name, c)
			}
		}
	}
	replace(h.instances, old.instances, p.instances, notify.Instance)
	replace(h.groups, old.groups, p.groups, notify.Group)
	if h.ctx == nil {
		return
	}
	h.usePipes(pipes)
	if !reflect.DeepEqual(old.mail, p.mail) || old.digest != p.digest {
		h.openMails()
	}
}

// openMails begins with mails as the plan says, in place of those of before, whose end is not
// waited for. h.mu is held.
func (h *herald) openMails() {
	if h.stopMails != nil {
		h.stopMails()
	}
	h.mails, h.stopMails = nil, nil
	m := &h.plan.mail
	if m.Server == "" || len(m.To) == 0 {
		return
	}
	queue := mail.NewQueue(mail.Options{
		Server: net.JoinHostPort(m.Server, strconv.Itoa(int(m.Port))), From: sender(m), To: m.To, Helo: m.Helo, Timeout: m.Timeout, Digest: h.plan.digest,
		OnEvent: func(e mail.Event) {
			if e.First || len(e.Refused) > 0 {
				h.log.Info(e.String())
			}
		},
	})
	ctx, cancel := context.WithCancel(h.ctx)
	h.mails, h.stopMails = queue, cancel
	h.ended.Go(func() { _ = queue.Run(ctx) }) // returns nil
}

// sender is who mails come from.
func sender(m *config.Mail) string {
	if m.From != "" {
		return m.From
	}
	host, _ := os.Hostname() // nothing better is known without
	return "keepalived@" + host
}

// tell tells of an effect of the Machine.
func (h *herald) tell(e vrrp.Effect) {
	switch e := e.(type) {
	case vrrp.Changed:
		if ev, ok := eventOf(e.From, e.To); ok {
			h.instance(e.Instance, ev, e.Priority)
		}
	case vrrp.GroupChanged:
		if ev, ok := eventOf(e.From, e.To); ok {
			h.group(e.Group, ev)
		}
	case vrrp.PriorityChanged:
		ev := notify.BackupPriority
		if e.State == vrrp.Master {
			ev = notify.MasterPriority
		}
		h.instance(e.Instance, ev, e.Priority)
	case vrrp.LowerHeard:
		h.instance(e.Instance, notify.MasterRxLowerPri, e.Priority)
	case vrrp.Renamed:
		h.forget(e.From)
		if ev, ok := eventOf(e.State, e.State); ok {
			h.instance(e.To, ev, e.Priority)
		}
	case vrrp.Deleted:
		h.instance(e.Instance, notify.Deleted, e.Priority)
		h.forget(e.Instance)
	}
}

// eventOf is what a change of state is to be told as. A master that leaves has stopped; that
// it has left, too, is nobody's news.
func eventOf(from, to vrrp.State) (notify.Event, bool) {
	switch to {
	case vrrp.Master:
		return notify.Master, true
	case vrrp.Backup:
		return notify.Backup, true
	case vrrp.Fault:
		return notify.Fault, true
	case vrrp.Leaving:
		return notify.Stop, true
	case vrrp.Stopped:
		return notify.Stop, from != vrrp.Leaving
	}
	return 0, false
}

func (h *herald) instance(name string, e notify.Event, priority uint8) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.instances[name]; s != nil {
		h.do(s.Acts(e, priority), func(st mail.State) mail.Message { return mail.Instance(h.routerID(), name, st) })
	}
}

func (h *herald) group(name string, e notify.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.groups[name]; s != nil {
		h.do(s.Acts(e, 0), func(st mail.State) mail.Message { return mail.Group(h.routerID(), name, st) })
	}
}

// tellStates writes the states of all instances and groups into the pipes, as they are after a
// reload (fifo_write_vrrp_states_on_reload).
func (h *herald) tellStates(s *control.VRRP) {
	if s == nil {
		return // there is no VRRP
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	events := map[string]notify.Event{"MASTER": notify.Master, "BACKUP": notify.Backup, "FAULT": notify.Fault}
	tell := func(x *notify.Subject, state string, priority uint8) {
		e, ok := events[state]
		if x == nil || !ok {
			return
		}
		h.write(x.Line(e, priority), func(p *fifoPlan) bool { return p.vrrp })
	}
	for _, i := range s.Instances {
		tell(h.instances[i.Name], i.State, i.Effective)
	}
	for _, g := range s.Groups {
		tell(h.groups[g.Name], g.State, 0)
	}
}

// forget lets go of an instance that a reload left out.
func (h *herald) forget(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, stays := h.plan.instances[name]; !stays {
		delete(h.instances, name)
	}
}

// routerID is the name in mails. h.mu is held.
func (h *herald) routerID() string {
	if h.plan.router != "" {
		return h.plan.router
	}
	name, _ := os.Hostname() // without one there is no prefix
	return name
}

// do does what is to be told, in order. h.mu is held.
func (h *herald) do(acts []notify.Act, message func(mail.State) mail.Message) {
	for _, a := range acts {
		switch {
		case a.Run != nil:
			h.runProgram(a.Run)
		case a.Line != "":
			h.write(a.Line, func(p *fifoPlan) bool { return p.vrrp })
		case a.Mail != nil && h.mails != nil:
			if st, ok := mailState(*a.Mail); ok {
				h.mails.Send(message(st))
			}
		}
	}
}

func mailState(e notify.Event) (mail.State, bool) {
	switch e {
	case notify.Master:
		return mail.Master, true
	case notify.Backup:
		return mail.Backup, true
	case notify.Fault:
		return mail.Fault, true
	case notify.Stop:
		return mail.Stopping, true
	case notify.Deleted:
		return mail.Deleted, true
	}
	return 0, false
}

// runProgram starts a notify script; that it fails is told in the log.
func (h *herald) runProgram(c *notify.Command) {
	text := strings.Join(c.Args, " ")
	err := h.programs.start(context.Background(), c.Args, c.User, c.Group, func(r command.Result) {
		if r.Outcome != command.Exited || r.Status != 0 {
			h.log.Warn(fmt.Sprintf("notify script %q %s", text, r))
		}
	})
	if err != nil {
		h.log.Warn(fmt.Sprintf("notify script %q is not run: %v", text, err))
	}
}
