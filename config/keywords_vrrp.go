package config

import (
	"math"
	"time"
)

// The bounds that keepalived's 32-bit microseconds set.
const (
	maxDelay = math.MaxUint32 / 1000000
	maxTimer = math.MaxInt32 * time.Microsecond
)

func weight(limit int64) []arg {
	return one(signed(-limit, limit), opt(arg{}))
}

// trackKeywords are the blocks that name what an instance or a group follows.
var trackKeywords = []keyword{
	{name: "track_interface", tier: 'A', use: served, block: lines},
	{name: "track_script", tier: 'A', use: served, block: lines},
	{name: "track_process", tier: 'C', use: served, block: lines},
	{name: "track_file", tier: 'C', use: served, block: lines},
	{name: "track_bfd", tier: 'C', use: served, block: lines},
}

// notifyKeywords are the scripts and mails of an instance or a group.
var notifyKeywords = []keyword{
	{name: "notify_master", tier: 'A', use: served, args: some(), shell: true},
	{name: "notify_backup", tier: 'A', use: served, args: some(), shell: true},
	{name: "notify_fault", tier: 'A', use: served, args: some(), shell: true},
	{name: "notify_stop", tier: 'A', use: served, args: some(), shell: true},
	{name: "notify", tier: 'A', use: served, args: some(), shell: true},
	{name: "notify_priority_changes", tier: 'C', use: served, args: onOff()},
	{name: "smtp_alert", tier: 'A', use: served, args: onOff()},
}

// instanceKeywords are the words of vrrp_instance. What is not done with them yet is said by the note of the block.
var instanceKeywords = join([]keyword{
	{name: "state", tier: 'A', use: served, args: one(enum("MASTER", "BACKUP")), fallback: "BACKUP is used"},
	{name: "interface", tier: 'A', use: served, args: str()},
	{name: "virtual_router_id", tier: 'A', use: served, args: one(num(1, 255))},
	{name: "priority", tier: 'A', use: served, args: one(num(1, 255)), fallback: "100 is used"},
	{name: "advert_int", tier: 'A', use: served, args: one(timer(10*time.Millisecond, 255*time.Second))},
	{name: "virtual_ipaddress", tier: 'A', use: served, block: lines},
	{name: "virtual_ipaddress_excluded", tier: 'B', use: served, block: lines},
	{name: "version", tier: 'B', use: served, args: one(num(2, 3))},
	{name: "no_virtual_ipaddress", tier: 'C', use: served},
	{name: "authentication", tier: 'A', use: served, block: "authentication"},
	{name: "auth_hmac", tier: 'C', use: later, why: "an instance with it is not run", block: "auth_hmac"},
	{name: "nopreempt", tier: 'A', use: served},
	{name: "preempt", tier: 'A', use: served},
	{name: "preempt_delay", tier: 'B', use: served, args: one(timer(0, 1000*time.Second)), fallback: "0 is used"},
	{name: "garp_master_delay", tier: 'A', use: served, args: one(num(0, maxDelay))},
	{name: "garp_master_repeat", tier: 'B', use: served, args: one(num(0, maxUint32))},
	{name: "garp_master_refresh", tier: 'C', use: served, args: one(num(0, maxUint32)), fallback: "0 is used"},
	{name: "garp_master_refresh_repeat", tier: 'C', use: served, args: one(num(0, maxUint32))},
	{name: "garp_lower_prio_delay", tier: 'C', use: served, args: one(num(0, maxDelay))},
	{name: "garp_lower_prio_repeat", tier: 'C', use: served, args: one(num(0, maxInt32))},
	{name: "garp_extra_if", tier: 'C', use: served, args: rest()},
	{name: "vmac_garp_intvl", tier: 'C', use: served, args: rest(), as: "garp_extra_if"},
	{name: "down_timer_adverts", tier: 'C', use: served, args: one(num(1, 100))},
	{name: "unicast_src_ip", tier: 'A', use: served, args: str()},
	{name: "mcast_src_ip", tier: 'B', use: served, args: str()},
	{name: "unicast_peer", tier: 'A', use: served, block: lines},
	{name: "unicast_ttl", tier: 'C', use: served, args: one(num(0, 255))},
	{name: "unicast_fault_no_peer", tier: 'C', use: served},
	{name: "check_unicast_src", tier: 'B', use: served},
	{name: "track_src_ip", tier: 'C', use: served},
	{name: "old_unicast_checksum", tier: 'C', use: served, args: one(opt(enum("never")))},
	{name: "mcast_dst_ip", tier: 'C', use: served, args: str()},
	{name: "native_ipv6", tier: 'N', use: served},
	{name: "accept", tier: 'B', use: served},
	{name: "no_accept", tier: 'B', use: served},
	{name: "strict_mode", tier: 'C', use: served, args: onOff()},
	{name: "dont_track_primary", tier: 'C', use: served},
	{name: "notify_deleted", tier: 'C', use: served, args: rest(), shell: true},
	{name: "notify_master_rx_lower_pri", tier: 'C', use: served, args: some(), shell: true},
	{name: "virtual_routes", tier: 'C', use: served, block: lines},
	{name: "virtual_rules", tier: 'C', use: served, block: lines},
	{name: "use_vmac", tier: 'B', use: served, args: rest()},
	{name: "use_vmac_addr", tier: 'C', use: served},
	{name: "vmac_xmit_base", tier: 'C', use: served},
	{name: "use_ipvlan", tier: 'C', use: served, args: rest()},
	{name: "vrf", tier: 'C', use: served, args: str()},
	{name: "promote_secondaries", tier: 'C', use: served},
	{name: "skip_check_adv_addr", tier: 'B', use: served, args: onOff()},
	{name: "lower_prio_no_advert", tier: 'C', use: served, args: onOff()},
	{name: "higher_prio_send_advert", tier: 'C', use: served, args: onOff()},
	{name: "owner_ignore_adverts", tier: 'C', use: served, args: onOff()},
	{name: "v3_checksum_as_v2", tier: 'C', use: served, args: onOff()},
	{name: "timer_expired_backup", tier: 'C', use: served, args: one(opt(num(1, 254)))},
	{name: "thread_timer_expired", tier: 'C', use: served, args: one(opt(num(1, 254))), as: "timer_expired_backup"},
	{name: "lvs_sync_daemon_interface", tier: 'B', use: served, args: str()},
	{name: "linkbeat_use_polling", tier: 'N', use: served},
	{name: "kernel_rx_buf_size", tier: 'N', use: inert, args: one(num(0, maxUint32)), why: cProcess, lax: true},
	{name: "debug", tier: 'N', use: inert, args: one(num(0, 4)), why: cProcess},
}, trackKeywords, notifyKeywords)

// authenticationKeywords are the words of an instance's authentication.
var authenticationKeywords = []keyword{
	{name: "auth_type", tier: 'A', use: served, args: one(enum("PASS", "AH"))},
	{name: "auth_pass", tier: 'A', use: served, args: str()},
}

// hmacKeywords are the words of an instance's auth_hmac (keepalived 2.4).
var hmacKeywords = []keyword{
	{name: "key", tier: 'C', use: served, args: one(num(0, 255), arg{})},
	{name: "active_key", tier: 'C', use: served, args: one(num(0, 255))},
	{name: "anti_replay", tier: 'C', use: served, args: one(enum("time", "monotonic"))},
	{name: "time_window", tier: 'C', use: served, args: one(num(1, 300))},
	{name: "mode", tier: 'C', use: served, args: one(enum("enforce", "permissive", "receive-only"))},
}

// syncGroupKeywords are the words of vrrp_sync_group.
var syncGroupKeywords = join([]keyword{
	{name: "group", tier: 'A', use: served, block: lines},
	{name: "sync_group_tracking_weight", tier: 'C', use: served},
	{name: "global_tracking", tier: 'C', use: served},
}, trackKeywords, notifyKeywords)

// scriptBlockKeywords are the words of vrrp_script.
var scriptBlockKeywords = []keyword{
	{name: "script", tier: 'A', use: served, args: rest(), shell: true},
	{name: "interval", tier: 'A', use: served, args: one(timer(0, maxDelay*time.Second))},
	{name: "timeout", tier: 'A', use: served, args: one(timer(0, maxDelay*time.Second))},
	{name: "weight", tier: 'A', use: served, args: some()},
	{name: "rise", tier: 'A', use: served, args: one(num(1, maxInt32)), fallback: "1 is used"},
	{name: "fall", tier: 'A', use: served, args: one(num(1, maxInt32)), fallback: "1 is used"},
	{name: "user", tier: 'A', use: served, args: one(arg{}, opt(arg{}))},
	{name: "init_fail", tier: 'A', use: served},
}

// trackFileKeywords are the words of track_file.
var trackFileKeywords = []keyword{
	{name: "file", tier: 'C', use: served, args: str(), lax: true},
	{name: "weight", tier: 'C', use: served, args: weight(maxWeight + 1), lax: true, fallback: "1 is used"},
	{name: "init_file", tier: 'C', use: served, args: rest()},
}

// trackProcessKeywords are the words of vrrp_track_process.
var trackProcessKeywords = []keyword{
	{name: "process", tier: 'C', use: served, args: some()},
	{name: "param_match", tier: 'C', use: served, args: one(opt(enum("initial", "partial")))},
	{name: "weight", tier: 'C', use: served, args: weight(maxWeight + 1), lax: true},
	{name: "quorum", tier: 'C', use: served, args: one(num(1, 65535))},
	{name: "quorum_max", tier: 'C', use: served, args: one(num(0, 65535))},
	{name: "delay", tier: 'C', use: served, args: one(timer(time.Microsecond, time.Hour))},
	{name: "fork_delay", tier: 'C', use: served, args: one(timer(time.Microsecond, time.Hour))},
	{name: "terminate_delay", tier: 'C', use: served, args: one(timer(time.Microsecond, time.Hour))},
	{name: "full_command", tier: 'C', use: served},
}

// garpGroupKeywords are the words of garp_group.
var garpGroupKeywords = []keyword{
	{name: "garp_interval", tier: 'C', use: served, args: one(timer(0, maxTimer))},
	{name: "gna_interval", tier: 'C', use: served, args: one(timer(0, maxTimer))},
	{name: "interface", tier: 'C', use: served, args: link()},
	{name: "interfaces", tier: 'C', use: served, block: lines},
}

// bfdKeywords are the words of bfd_instance. Intervals are in milliseconds, with decimals.
var bfdKeywords = []keyword{
	{name: "neighbor_ip", tier: 'C', use: served, args: str()},
	{name: "neighbour_ip", tier: 'C', use: served, args: str(), as: "neighbor_ip"},
	{name: "source_ip", tier: 'C', use: served, args: str()},
	{name: "min_rx", tier: 'C', use: served, args: str()},
	{name: "min_tx", tier: 'C', use: served, args: str()},
	{name: "idle_tx", tier: 'C', use: served, args: str()},
	{name: "multiplier", tier: 'C', use: served, args: one(num(1, 255))},
	{name: "passive", tier: 'C', use: served},
	{name: "ttl", tier: 'C', use: served, args: one(num(1, 255))},
	{name: "hoplimit", tier: 'C', use: served, args: one(num(1, 255)), as: "ttl"},
	{name: "max_hops", tier: 'C', use: served, args: one(signed(-1, 255))},
	{name: "multihop", tier: 'C', use: served},
	{name: "weight", tier: 'C', use: served, args: weight(maxWeight), fallback: "it is ignored"},
	{name: "vrrp", tier: 'C', use: served},
	{name: "checker", tier: 'C', use: served},
}
