package config

// notifyWord binds the commands and mails of an instance or a group. Of each command the first counts.
func (b *binder) notifyWord(n *Notify, owner string, k *keyword, s *Statement) bool {
	var to **Command
	switch k.canonical() {
	case "notify_master":
		to = &n.Master
	case "notify_backup":
		to = &n.Backup
	case "notify_fault":
		to = &n.Fault
	case "notify_stop":
		to = &n.Stop
	case "notify":
		to = &n.Any
	case "notify_master_rx_lower_pri":
		to = &n.MasterRxLowerPri
	case "notify_deleted":
		if n.OnDelete {
			b.diags.errorf(s.Pos, "", "%s has notify_deleted already; this one is ignored", owner)
			return true
		}
		n.OnDelete = true
		if len(s.Args) == 0 {
			return true
		}
		to = &n.Deleted
	default:
		return false
	}
	if *to != nil {
		b.diags.errorf(s.Pos, s.Args[0].Text, "%s has %s already; this one is ignored", owner, s.Keyword)
		return true
	}
	*to = b.command(s)
	return true
}

// completeNotify fills in the defaults: mail of global_defs, and for members of a group its priority changes.
func (b *binder) completeNotify(n *Notify, mail, changes *bool, g *groupDraft) {
	n.Mail = b.defaults.mail
	if mail != nil {
		n.Mail = *mail
	}
	n.PriorityChanges = b.defaults.priorityChanges
	switch {
	case changes != nil:
		n.PriorityChanges = *changes
	case g != nil && g.prioChanges != nil:
		n.PriorityChanges = *g.prioChanges
	}
}
