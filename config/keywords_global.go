package config

import "time"

const (
	cProcess = "it tunes keepalived's own processes"
	cKernel  = "it tunes the kernel's IPVS or firewall, which take no part here"
	cAgent   = "there is no such agent here"

	maxCPU = 8191 // the most that Linux may have
)

// globalKeywords are the words of global_defs.
var globalKeywords = join([]keyword{
	{name: "router_id", tier: 'A', use: served, args: str(), lax: true},
	{name: "notification_email", tier: 'A', use: served, block: lines},
	{name: "notification_email_from", tier: 'A', use: served, args: some(), lax: true},
	{name: "smtp_server", tier: 'A', use: served, args: one(arg{}, opt(num(1, 65535)))},
	{name: "smtp_connect_timeout", tier: 'A', use: served, args: one(num(0, maxUint32/1000000))},
	{name: "smtp_helo_name", tier: 'B', use: served, args: str(), lax: true},
	{name: "smtp_alert", tier: 'B', use: served, args: onOff()},
	{name: "smtp_alert_vrrp", tier: 'B', use: served, args: onOff()},
	{name: "smtp_alert_checker", tier: 'B', use: served, args: onOff()},
	{name: "no_email_faults", tier: 'C', use: served},
	{name: "no_checker_emails", tier: 'C', use: served, args: onOff()},
	{name: "checker_log_all_failures", tier: 'B', use: served, args: onOff()},
	{name: "enable_script_security", tier: 'A', use: served},
	{name: "script_user", tier: 'A', use: served, args: one(arg{}, opt(arg{})), lax: true},
	{name: "dynamic_interfaces", tier: 'B', use: served, args: one(opt(enum("allow_if_changes")))},
	{name: "default_interface", tier: 'C', use: served, args: link(), lax: true},
	{name: "startup_script", tier: 'C', use: served, args: some(), shell: true, lax: true},
	{name: "shutdown_script", tier: 'C', use: served, args: some(), shell: true, lax: true},
	{name: "startup_script_timeout", tier: 'C', use: served, args: one(num(1, 1000)), lax: true},
	{name: "shutdown_script_timeout", tier: 'C', use: served, args: one(num(1, 1000)), lax: true},
	{name: "lvs_timeouts", tier: 'B', use: served, args: some(), lax: true},
	{name: "lvs_flush", tier: 'B', use: served},
	{name: "lvs_flush_on_stop", tier: 'B', use: served, args: one(opt(enum("VS")))},
	{name: "lvs_flush_onstop", tier: 'B', use: served, as: "lvs_flush_on_stop", args: one(opt(enum("VS")))},
	{name: "lvs_sync_daemon", tier: 'B', use: later, args: some(), lax: true, why: "connections are not told to the other director yet"},
	{name: "notify_fifo", tier: 'B', use: served, args: some(), lax: true},
	{name: "vrrp_notify_fifo", tier: 'B', use: served, args: some(), lax: true},
	{name: "lvs_notify_fifo", tier: 'B', use: served, args: some(), lax: true},
	{name: "notify_fifo_script", tier: 'B', use: served, args: some(), shell: true, lax: true},
	{name: "vrrp_notify_fifo_script", tier: 'B', use: served, args: some(), shell: true, lax: true},
	{name: "lvs_notify_fifo_script", tier: 'B', use: served, args: some(), shell: true, lax: true},
	{name: "fifo_write_vrrp_states_on_reload", tier: 'C', use: served},
	{name: "rs_init_notifies", tier: 'C', use: served},
	{name: "use_symlink_paths", tier: 'C', use: inert, args: onOff(), why: "paths are used as they are written"},
	{name: "set_supplementary_groups", tier: 'C', use: inert, args: onOff(), why: "programs always have their user's groups"},
	{name: "umask", tier: 'C', use: moot, args: some(), why: "each file that is written has the mode that it needs"},
	{name: "random_seed", tier: 'C', use: inert, args: one(num(0, maxUint32)), why: "nothing that is drawn here needs repeating"},
	{name: "reload_check_config", tier: 'B', use: served, args: one(opt(arg{}))},
	{name: "reload_time_file", tier: 'C', use: inert, args: str(), lax: true, exact: true, why: "have a timer of systemd or cron run `uvs reload`"},
	{name: "reload_repeat", tier: 'C', use: inert, args: rest(), why: "have a timer of systemd or cron run `uvs reload`"},
	{name: "reload_file", tier: 'C', use: inert, args: one(opt(arg{})), why: "a SIGHUP or `uvs reload` is enough"},
	{name: "include_check", tier: 'C', use: moot, args: rest(), why: "it decides how `uvs keepalived -t` leaves; a file that is named and missing is always told of"},
	{name: "data_use_instance", tier: 'C', use: inert, args: onOff(), why: "files stand under the run directory (--run-dir)"},
	{name: "state_dump_file", tier: 'C', use: inert, args: str(), why: "ask `uvs status -o json`"},
	{name: "stats_dump_file", tier: 'C', use: inert, args: str(), why: "ask `uvs status -o json`"},
	{name: "json_dump_file", tier: 'C', use: inert, args: str(), why: "ask `uvs status -o json`"},
	{name: "state_dump_file_location", tier: 'C', use: inert, args: str(), why: "ask `uvs status -o json`"},
	{name: "stats_dump_file_location", tier: 'C', use: inert, args: str(), why: "ask `uvs status -o json`"},
	{name: "json_dump_file_location", tier: 'C', use: inert, args: str(), why: "ask `uvs status -o json`"},
	{name: "json_version", tier: 'C', use: inert, args: one(enum("1", "2")), why: "ask `uvs status -o json`"},
}, globalVRRPKeywords, globalInertKeywords)

// globalVRRPKeywords are the defaults of the VRRP instances.
var globalVRRPKeywords = []keyword{
	{name: "vrrp_skip_check_adv_addr", tier: 'A', use: served, args: onOff()},
	{name: "vrrp_strict", tier: 'A', use: served},
	{name: "vrrp_garp_interval", tier: 'A', use: served, args: one(timer(0, maxUint32*time.Microsecond))},
	{name: "vrrp_gna_interval", tier: 'A', use: served, args: one(timer(0, maxUint32*time.Microsecond))},
	{name: "vrrp_version", tier: 'B', use: served, args: one(enum("2", "3"))},
	{name: "vrrp_mcast_group4", tier: 'C', use: served, args: addr()},
	{name: "vrrp_mcast_group6", tier: 'C', use: served, args: addr()},
	{name: "vrrp_garp_master_delay", tier: 'B', use: served, args: one(num(0, maxDelay))},
	{name: "vrrp_garp_master_repeat", tier: 'B', use: served, args: one(num(0, maxUint32))},
	{name: "vrrp_garp_master_refresh", tier: 'B', use: served, args: one(num(0, maxUint32))},
	{name: "vrrp_garp_master_refresh_repeat", tier: 'C', use: served, args: one(num(0, maxUint32))},
	{name: "vrrp_garp_lower_prio_delay", tier: 'C', use: served, args: one(num(0, maxDelay))},
	{name: "vrrp_garp_lower_prio_repeat", tier: 'C', use: served, args: one(num(0, maxInt32))},
	{name: "vrrp_min_garp", tier: 'C', use: served, args: onOff()},
	{name: "vrrp_garp_extra_if", tier: 'C', use: served, args: some(), lax: true},
	{name: "vrrp_vmac_garp_intvl", tier: 'C', use: deprecated, as: "vrrp_garp_extra_if", fault: true, args: some(), lax: true},
	{name: "vrrp_down_timer_adverts", tier: 'C', use: served, args: one(num(1, 100))},
	{name: "vrrp_lower_prio_no_advert", tier: 'C', use: served, args: onOff()},
	{name: "vrrp_higher_prio_send_advert", tier: 'C', use: served, args: onOff()},
	{name: "vrrp_check_unicast_src", tier: 'B', use: served},
	{name: "vrrp_startup_delay", tier: 'C', use: served, args: one(timer(time.Millisecond, maxUint32*time.Microsecond))},
	{name: "vrrp_delay_after_boot", tier: 'C', use: served, args: anyTimer()},
	{name: "vrrp_owner_ignore_adverts", tier: 'C', use: served, args: onOff()},
	{name: "v3_checksum_as_v2", tier: 'C', use: served, args: onOff()},
	{name: "vrrp_rt_priority", tier: 'N', use: served, args: one(signed(-maxInt32, maxInt32)), lax: true},
	{name: "vrrp_priority", tier: 'N', use: moot, args: one(signed(-20, 19)), lax: true, why: "the thread of VRRP has a real-time priority (--vrrp-realtime)"},
	{name: "log_unknown_vrids", tier: 'C', use: served},
	{name: "vrrp_notify_priority_changes", tier: 'B', use: served, args: onOff()},
	{name: "vmac_prefix", tier: 'C', use: served, args: str()},
	{name: "vmac_addr_prefix", tier: 'C', use: served, args: str()},
}

// globalInertKeywords mean nothing outside keepalived's own processes.
var globalInertKeywords = join(
	inertWords(cKernel, rest,
		"vrrp_iptables", "vrrp_ipsets", "nftables", "nftables_ifindex", "nftables_counters", "nftables_ipvs", "disable_local_igmp"),
	inertWords(cKernel, func() []arg { return one(signed(-maxInt32-1, maxInt32)) }, "nftables_priority", "nftables_ipvs_priority"),
	inertWords(cKernel, positive, "nftables_ipvs_start_fwmark"),
	inertWords(cProcess, positive,
		"vrrp_rlimit_rttime", "checker_rlimit_rttime", "bfd_rlimit_rttime",
		"vrrp_rlimit_rtime", "checker_rlimit_rtime", "bfd_rlimit_rtime"),
	inertWords(cProcess, some,
		"process_name", "vrrp_process_name", "checker_process_name", "lvs_process_name", "bfd_process_name",
		"config_save_dir"),
	lax(inertWords(cProcess, func() []arg { return one(signed(-20, 19)) }, "checker_priority", "bfd_priority")),
	lax(inertWords(cProcess, func() []arg { return one(num(1, 99)) }, "checker_rt_priority", "bfd_rt_priority")),
	lax(inertWords(cProcess, func() []arg { return append(one(num(0, maxCPU)), rest()...) },
		"vrrp_cpu_affinity", "checker_cpu_affinity", "bfd_cpu_affinity")),
	inertWords(cProcess, func() []arg { return one(opt(signed(-1, 99))) }, "max_auto_priority"),
	lax(inertWords(cProcess, func() []arg { return one(num(1, 10000000)) }, "min_auto_priority_delay")),
	lax(inertWords(cProcess, func() []arg { return one(num(0, maxUint32)) },
		"vrrp_netlink_cmd_rcv_bufs", "vrrp_netlink_monitor_rcv_bufs", "lvs_netlink_cmd_rcv_bufs", "lvs_netlink_monitor_rcv_bufs",
		"process_monitor_rcv_bufs")),
	inertWords(cProcess, onOff,
		"vrrp_netlink_cmd_rcv_bufs_force", "vrrp_netlink_monitor_rcv_bufs_force", "lvs_netlink_cmd_rcv_bufs_force",
		"lvs_netlink_monitor_rcv_bufs_force", "process_monitor_rcv_bufs_force"),
	lax(inertWords(cProcess, positive, "vrrp_rx_bufs_multiplier")),
	lax(inertWords(cProcess, some, "vrrp_rx_bufs_policy", "tmp_config_directory")),
	inertWords(cProcess, rest,
		"vrrp_no_swap", "checker_no_swap", "bfd_no_swap", "process_names", "iproute_usr_dir", "iproute_etc_dir"),
	lax(inertWords(cAgent, some, "snmp_socket", "dbus_service_name")),
	inertWords(cAgent, rest,
		"enable_traps", "enable_snmp_vrrp", "enable_snmp_keepalived", "enable_snmp_checker",
		"enable_snmp_rfc", "enable_snmp_rfcv2", "enable_snmp_rfcv3",
		"snmp_vs_stats_update_interval", "snmp_rs_stats_update_interval",
		"enable_dbus", "dbus_no_interface_name"),
)

// inertWords makes rows of tier N that share their reason.
func inertWords(why string, args func() []arg, words ...string) []keyword {
	out := make([]keyword, len(words))
	for i, w := range words {
		out[i] = keyword{name: w, tier: 'N', use: inert, args: args(), why: why}
	}
	return out
}

// lax marks words that may lack their parameter.
func lax(ks []keyword) []keyword {
	for i := range ks {
		ks[i].lax = true
	}
	return ks
}

func positive() []arg { return one(num(1, maxUint32)) }
