package notify_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"uvs/vrrp/notify"
)

// words prints acts one by one.
func words(acts []notify.Act) (list []string) {
	for _, a := range acts {
		switch {
		case a.Run != nil:
			s := fmt.Sprintf("run %q", a.Run.Args)
			if a.Run.User != "" {
				s += " as " + a.Run.User + ":" + a.Run.Group
			}
			list = append(list, s)
		case a.Mail != nil:
			list = append(list, "mail "+a.Mail.String())
		default:
			list = append(list, "line "+strings.ReplaceAll(a.Line, "\n", "$"))
		}
	}
	return list
}

func run(args ...string) *notify.Command { return &notify.Command{Args: args} }

func TestActs(t *testing.T) {
	full := notify.Config{
		Master: run("/m", "became master"), Backup: run("/b"), Fault: run("/f"), Stop: run("/s"), Deleted: run("/d"),
		MasterRxLowerPri: run("/lower", "x"), Any: &notify.Command{Args: []string{"/any", "a b"}, User: "u", Group: "g"},
		OnDelete: true, PriorityChanges: true, Mail: true,
	}
	type told struct {
		event    notify.Event
		priority uint8
		acts     []string
	}
	for _, c := range []struct {
		name    string
		subject *notify.Subject
		told    []told
	}{
		{"instance with everything", notify.Instance("VI", full), []told{
			{notify.Master, 150, []string{`run ["/m" "became master"]`, `run ["/any" "a b" "INSTANCE" "VI" "MASTER" "150"] as u:g`, `line INSTANCE "VI" MASTER 150$`, `mail MASTER`}},
			{notify.MasterRxLowerPri, 150, []string{`run ["/lower" "x"]`, `line INSTANCE "VI" MASTER_RX_LOWER_PRI 150$`}},
			{notify.MasterPriority, 130, []string{`line INSTANCE "VI" MASTER_PRIORITY 130$`}},
			{notify.Backup, 130, []string{`run ["/b"]`, `run ["/any" "a b" "INSTANCE" "VI" "BACKUP" "130"] as u:g`, `line INSTANCE "VI" BACKUP 130$`, `mail BACKUP`}},
			{notify.BackupPriority, 1, []string{`line INSTANCE "VI" BACKUP_PRIORITY 1$`}},
			{notify.Fault, 255, []string{`run ["/f"]`, `run ["/any" "a b" "INSTANCE" "VI" "FAULT" "255"] as u:g`, `line INSTANCE "VI" FAULT 255$`, `mail FAULT`}},
			{notify.Fault, 255, []string{`run ["/f"]`, `run ["/any" "a b" "INSTANCE" "VI" "FAULT" "255"] as u:g`, `line INSTANCE "VI" FAULT 255$`}},
			{notify.Stop, 255, []string{`run ["/s"]`, `run ["/any" "a b" "INSTANCE" "VI" "STOP" "255"] as u:g`, `line INSTANCE "VI" STOP 255$`, `mail STOP`}},
			{notify.Deleted, 255, []string{`run ["/d"]`, `run ["/any" "a b" "INSTANCE" "VI" "DELETED" "255"] as u:g`, `line INSTANCE "VI" DELETED 255$`, `mail DELETED`}},
		}},
		{"group with everything", notify.Group("G", full), []told{
			{notify.Master, 150, []string{`run ["/m" "became master"]`, `run ["/any" "a b" "GROUP" "G" "MASTER" "0"] as u:g`, `line GROUP "G" MASTER 0$`, `mail MASTER`}},
			{notify.Backup, 1, []string{`run ["/b"]`, `run ["/any" "a b" "GROUP" "G" "BACKUP" "0"] as u:g`, `line GROUP "G" BACKUP 0$`, `mail BACKUP`}},
			{notify.Fault, 1, []string{`run ["/f"]`, `run ["/any" "a b" "GROUP" "G" "FAULT" "0"] as u:g`, `line GROUP "G" FAULT 0$`, `mail FAULT`}},
			{notify.Stop, 1, []string{`run ["/s"]`, `run ["/any" "a b" "GROUP" "G" "STOP" "0"] as u:g`, `line GROUP "G" STOP 0$`, `mail STOP`}},
			{notify.Deleted, 1, nil}, {notify.MasterRxLowerPri, 1, nil}, {notify.MasterPriority, 1, nil}, {notify.BackupPriority, 1, nil},
		}},
		{"nothing but FIFOs", notify.Instance("a \"b", notify.Config{}), []told{
			{notify.Master, 100, []string{`line INSTANCE "a "b" MASTER 100$`}},
			{notify.MasterRxLowerPri, 100, []string{`line INSTANCE "a "b" MASTER_RX_LOWER_PRI 100$`}},
			{notify.MasterPriority, 100, nil},
			{notify.Deleted, 100, []string{`line INSTANCE "a "b" FAULT 100$`}},
		}},
		{"deleted without a word for it", notify.Instance("VI", notify.Config{Fault: run("/f"), Any: run("/any"), Mail: true}), []told{
			{notify.Deleted, 100, []string{`run ["/any" "INSTANCE" "VI" "FAULT" "100"]`, `line INSTANCE "VI" FAULT 100$`, `mail FAULT`}}}},
		{"deleted without a command", notify.Instance("VI", notify.Config{Fault: run("/f"), Any: run("/any"), OnDelete: true}), []told{
			{notify.Deleted, 100, []string{`run ["/any" "INSTANCE" "VI" "DELETED" "100"]`, `line INSTANCE "VI" DELETED 100$`}}}},
		{"no mail for faults", notify.Instance("VI", notify.Config{Mail: true, NoFaultMail: true}), []told{
			{notify.Backup, 1, []string{`line INSTANCE "VI" BACKUP 1$`, `mail BACKUP`}},
			{notify.Fault, 1, []string{`line INSTANCE "VI" FAULT 1$`}},
			{notify.Backup, 1, []string{`line INSTANCE "VI" BACKUP 1$`}}, // as the last one that was mailed
			{notify.Master, 1, []string{`line INSTANCE "VI" MASTER 1$`, `mail MASTER`}},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i, x := range c.told {
				if got := words(c.subject.Acts(x.event, x.priority)); !slices.Equal(got, x.acts) {
					t.Errorf("%d, %v: got\n%q, want\n%q", i, x.event, got, x.acts)
				}
			}
		})
	}
}

// TestCommandsAreNotShared: a caller may add to what it gets.
func TestCommandsAreNotShared(t *testing.T) {
	args := append(make([]string, 0, 10), "/any", "x")
	s := notify.Instance("VI", notify.Config{Master: &notify.Command{Args: args}, Any: &notify.Command{Args: args}})
	first := s.Acts(notify.Master, 1)
	_ = append(first[0].Run.Args, "spoilt")
	s.Acts(notify.Backup, 2)
	if got := strings.Join(first[1].Run.Args, " "); got != "/any x INSTANCE VI MASTER 1" {
		t.Errorf("the first call's arguments have become %s", got)
	}
}
