package config

import "time"

func weight(limit int64) []arg {
	return one(signed(-limit, limit), opt(enum("reverse", "noreverse")))
}

// trackKeywords are the blocks that name what an instance or a group follows.
var trackKeywords = []keyword{
	{name: "track_interface", tier: 'A', block: lines},
	{name: "track_script", tier: 'A', block: lines},
	{name: "track_process", tier: 'C', block: lines},
	{name: "track_file", tier: 'C', block: lines},
	{name: "track_bfd", tier: 'C', block: lines},
}

// notifyKeywords are the scripts and mails of an instance or a group.
var notifyKeywords = []keyword{
	{name: "notify_master", tier: 'A', args: some(), shell: true},
	{name: "notify_backup", tier: 'A', args: some(), shell: true},
	{name: "notify_fault", tier: 'A', args: some(), shell: true},
	{name: "notify_stop", tier: 'A', args: some(), shell: true},
	{name: "notify", tier: 'A', args: some(), shell: true},
	{name: "notify_priority_changes", tier: 'C', args: onOff()},
	{name: "smtp_alert", tier: 'A', args: onOff()},
}

// instanceKeywords are the words of vrrp_instance.
var instanceKeywords = join([]keyword{
	{name: "state", tier: 'A', use: served, args: one(enum("MASTER", "BACKUP"))},
	{name: "interface", tier: 'A', use: served, args: link()},
	{name: "virtual_router_id", tier: 'A', use: served, args: one(num(1, 255))},
	{name: "priority", tier: 'A', use: served, args: one(num(1, 255))},
	{name: "advert_int", tier: 'A', use: served, args: one(timer(10*time.Millisecond, 255*time.Second))},
	{name: "virtual_ipaddress", tier: 'A', use: served, block: lines},
	{name: "virtual_ipaddress_excluded", tier: 'B', use: served, block: lines},
	{name: "version", tier: 'B', use: checked, args: one(enum("2", "3"))},
	{name: "no_virtual_ipaddress", tier: 'C', use: checked},
	{name: "authentication", tier: 'A', block: "authentication"},
	{name: "auth_hmac", tier: 'C', block: "auth_hmac"},
	{name: "nopreempt", tier: 'A'},
	{name: "preempt", tier: 'A'},
	{name: "preempt_delay", tier: 'B', args: one(timer(0, 1000*time.Second))},
	{name: "garp_master_delay", tier: 'A', args: one(num(0, maxUint32))},
	{name: "garp_master_repeat", tier: 'B', args: one(num(1, maxUint32))},
	{name: "garp_master_refresh", tier: 'C', args: one(num(0, maxUint32))},
	{name: "garp_master_refresh_repeat", tier: 'C', args: one(num(1, maxUint32))},
	{name: "garp_lower_prio_delay", tier: 'C', args: one(num(0, maxUint32))},
	{name: "garp_lower_prio_repeat", tier: 'C', args: one(num(0, maxUint32))},
	{name: "garp_extra_if", tier: 'C', args: some(), lax: true},
	{name: "down_timer_adverts", tier: 'C', args: one(num(1, 100))},
	{name: "unicast_src_ip", tier: 'A', args: addr()},
	{name: "mcast_src_ip", tier: 'B', args: addr()},
	{name: "unicast_peer", tier: 'A', block: lines},
	{name: "unicast_ttl", tier: 'C', args: one(num(0, 255))},
	{name: "unicast_fault_no_peer", tier: 'C'},
	{name: "check_unicast_src", tier: 'B'},
	{name: "track_src_ip", tier: 'C'},
	{name: "old_unicast_checksum", tier: 'C', args: one(opt(enum("never")))},
	{name: "mcast_dst_ip", tier: 'C', args: addr()},
	{name: "native_ipv6", tier: 'N', use: inert, why: "the family follows the addresses"},
	{name: "accept", tier: 'B'},
	{name: "no_accept", tier: 'B'},
	{name: "strict_mode", tier: 'C', args: onOff()},
	{name: "dont_track_primary", tier: 'C'},
	{name: "notify_deleted", tier: 'C', args: rest(), shell: true},
	{name: "notify_master_rx_lower_pri", tier: 'C', args: some(), shell: true},
	{name: "virtual_routes", tier: 'C', block: lines},
	{name: "virtual_rules", tier: 'C', block: lines},
	{name: "use_vmac", tier: 'B', args: rest()},
	{name: "use_vmac_addr", tier: 'C'},
	{name: "vmac_xmit_base", tier: 'C'},
	{name: "use_ipvlan", tier: 'C', args: rest()},
	{name: "vrf", tier: 'C', args: str()},
	{name: "promote_secondaries", tier: 'C'},
	{name: "skip_check_adv_addr", tier: 'B', args: onOff()},
	{name: "lower_prio_no_advert", tier: 'C', args: onOff()},
	{name: "higher_prio_send_advert", tier: 'C', args: onOff()},
	{name: "owner_ignore_adverts", tier: 'C', args: onOff()},
	{name: "v3_checksum_as_v2", tier: 'C', args: onOff()},
	{name: "timer_expired_backup", tier: 'C', args: one(opt(num(1, 254)))},
	{name: "thread_timer_expired", tier: 'C', args: one(opt(num(1, 254)))},
	{name: "lvs_sync_daemon_interface", tier: 'B', args: str()},
	{name: "linkbeat_use_polling", tier: 'N', use: inert, why: "link state comes by netlink"},
	{name: "kernel_rx_buf_size", tier: 'N', use: inert, args: rest(), why: cProcess},
	{name: "debug", tier: 'N', use: inert, args: some(), why: cProcess},
}, trackKeywords, notifyKeywords)

// authenticationKeywords are the words of an instance's authentication.
var authenticationKeywords = []keyword{
	{name: "auth_type", tier: 'A', args: one(enumFold("PASS", "AH"))},
	{name: "auth_pass", tier: 'A', args: str()},
}

// hmacKeywords are the words of an instance's auth_hmac (keepalived 2.4).
var hmacKeywords = []keyword{
	{name: "key", tier: 'C', args: one(num(0, 255), arg{})},
	{name: "active_key", tier: 'C', args: one(num(0, 255))},
	{name: "anti_replay", tier: 'C', args: one(enum("time", "monotonic"))},
	{name: "time_window", tier: 'C', args: one(num(1, 300))},
	{name: "mode", tier: 'C', args: one(enum("enforce", "permissive", "receive-only"))},
}

// syncGroupKeywords are the words of vrrp_sync_group.
var syncGroupKeywords = join([]keyword{
	{name: "group", tier: 'A', block: lines},
	{name: "sync_group_tracking_weight", tier: 'C'},
	{name: "global_tracking", tier: 'C'},
}, trackKeywords, notifyKeywords)

// scriptBlockKeywords are the words of vrrp_script.
var scriptBlockKeywords = []keyword{
	{name: "script", tier: 'A', args: some(), shell: true, lax: true},
	{name: "interval", tier: 'A', args: anyTimer()},
	{name: "timeout", tier: 'A', args: anyTimer()},
	{name: "weight", tier: 'A', args: weight(253)},
	{name: "rise", tier: 'A', args: one(num(1, maxInt32))},
	{name: "fall", tier: 'A', args: one(num(1, maxInt32))},
	{name: "user", tier: 'A', args: one(arg{}, opt(arg{}))},
	{name: "init_fail", tier: 'A'},
}

// trackFileKeywords are the words of track_file.
var trackFileKeywords = []keyword{
	{name: "file", tier: 'C', args: str(), lax: true},
	{name: "weight", tier: 'C', args: weight(maxInt32), lax: true},
	{name: "init_file", tier: 'C', args: one(opt(arg{}), opt(arg{}))},
}

// trackProcessKeywords are the words of vrrp_track_process.
var trackProcessKeywords = []keyword{
	{name: "process", tier: 'C', args: some(), shell: true},
	{name: "param_match", tier: 'C', args: one(enum("initial", "partial")), lax: true},
	{name: "weight", tier: 'C', args: weight(254), lax: true},
	{name: "quorum", tier: 'C', args: one(num(1, 65535))},
	{name: "quorum_max", tier: 'C', args: one(num(0, 65535))},
	{name: "delay", tier: 'C', args: one(timer(time.Microsecond, time.Hour))},
	{name: "fork_delay", tier: 'C', args: one(timer(time.Microsecond, time.Hour))},
	{name: "terminate_delay", tier: 'C', args: one(timer(time.Microsecond, time.Hour))},
	{name: "full_command", tier: 'C'},
}

// garpGroupKeywords are the words of garp_group.
var garpGroupKeywords = []keyword{
	{name: "garp_interval", tier: 'C', args: anyTimer()},
	{name: "gna_interval", tier: 'C', args: anyTimer()},
	{name: "interface", tier: 'C', args: link()},
	{name: "interfaces", tier: 'C', block: lines},
}

// bfdKeywords are the words of bfd_instance. Intervals are in milliseconds, with decimals.
var bfdKeywords = []keyword{
	{name: "neighbor_ip", tier: 'C', args: addr(), lax: true},
	{name: "neighbour_ip", tier: 'C', args: addr(), lax: true},
	{name: "source_ip", tier: 'C', args: addr()},
	{name: "min_rx", tier: 'C', args: str()},
	{name: "min_tx", tier: 'C', args: str()},
	{name: "idle_tx", tier: 'C', args: str()},
	{name: "multiplier", tier: 'C', args: one(num(1, 255))},
	{name: "passive", tier: 'C'},
	{name: "ttl", tier: 'C', args: one(num(1, 255))},
	{name: "hoplimit", tier: 'C', args: one(num(1, 255))},
	{name: "max_hops", tier: 'C', args: one(num(0, 255))},
	{name: "multihop", tier: 'C'},
	{name: "weight", tier: 'C', args: weight(253)},
	{name: "vrrp", tier: 'C'},
	{name: "checker", tier: 'C'},
}
