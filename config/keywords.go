package config

// keywords is the whole inventory of keepalived.conf(5). The table is never written to.
var keywords = grammar{
	"": {
		{name: "global_defs", tier: 'A', use: served, block: "global_defs"},
		{name: "vrrp_instance", tier: 'A', use: served, args: str(), block: "vrrp_instance", lax: true},
		{name: "vrrp_sync_group", tier: 'B', use: served, args: str(), block: "vrrp_sync_group", lax: true},
		{name: "vrrp_script", tier: 'A', use: served, args: str(), block: "vrrp_script"},
		{name: "virtual_server", tier: 'A', use: served, args: one(arg{}, opt(arg{})), block: "virtual_server"},
		{name: "virtual_server_group", tier: 'B', use: served, args: str(), block: lines},
		{name: "static_ipaddress", tier: 'C', use: served, block: lines},
		{name: "static_routes", tier: 'C', use: served, block: lines},
		{name: "static_rules", tier: 'C', use: served, block: lines},
		{name: "track_group", tier: 'C', use: served, args: str(), block: "track_group", lax: true},
		{name: "track_file", tier: 'C', use: served, args: str(), block: "track_file"},
		{name: "vrrp_track_file", tier: 'C', use: served, args: str(), block: "track_file", as: "track_file"},
		{name: "vrrp_track_process", tier: 'C', use: served, args: str(), block: "vrrp_track_process"},
		{name: "bfd_instance", tier: 'C', use: served, args: str(), block: "bfd_instance"},
		{name: "garp_group", tier: 'C', use: served, block: "garp_group"},
		{name: "linkbeat_interfaces", tier: 'N', use: partly, block: lines, why: "the names are checked, and link state comes by netlink"},
		{name: "linkbeat_use_polling", tier: 'N', use: inert, why: "link state comes by netlink"},
		{name: "interface_up_down_delays", tier: 'C', use: served, block: lines},
		{name: "SSL", tier: 'C', use: served, block: "SSL"},
		{name: "net_namespace", tier: 'C', use: moot, why: "it runs in the namespace it was started in: start it there (ip netns exec, or NetworkNamespacePath= in the unit)", args: str(), lax: true},
		{name: "net_namespace_ipvs", tier: 'C', use: moot, why: "it runs in the namespace it was started in: start it there (ip netns exec, or NetworkNamespacePath= in the unit)", args: one(opt(arg{}))},
		{name: "namespace_with_ipsets", tier: 'N', use: inert, why: "no ipset is used"},
		{name: "instance", tier: 'C', use: moot, why: "files stand under the run directory: give each director one (--run-dir)", args: str(), lax: true},
		{name: "use_pid_dir", tier: 'C', use: moot, why: "files stand under the run directory: give each director one (--run-dir)"},
		{name: "child_wait_time", tier: 'N', use: inert, args: one(num(0, maxUint32)), why: "there are no child processes"},
	},
	"global_defs":        globalKeywords,
	"vrrp_instance":      instanceKeywords,
	"authentication":     authenticationKeywords,
	"auth_hmac":          hmacKeywords,
	"vrrp_sync_group":    syncGroupKeywords,
	"vrrp_script":        scriptBlockKeywords,
	"track_file":         trackFileKeywords,
	"vrrp_track_process": trackProcessKeywords,
	"garp_group":         garpGroupKeywords,
	"bfd_instance":       bfdKeywords,
	"track_group":        {{name: "group", tier: 'C', use: served, block: lines}},
	"SSL": {
		{name: "password", tier: 'C', use: served, args: str(), lax: true},
		{name: "ca", tier: 'C', use: served, args: str(), lax: true},
		{name: "certificate", tier: 'C', use: served, args: str(), lax: true},
		{name: "key", tier: 'C', use: served, args: str(), lax: true},
	},
	"virtual_server": virtualServerKeywords,
	"real_server":    realServerKeywords,
	"TCP_CHECK":      join(connectKeywords, retryKeywords),
	"PING_CHECK":     join(connectKeywords, retryKeywords),
	"HTTP_GET":       join(connectKeywords, retryKeywords, httpKeywords),
	"SSL_GET":        join(connectKeywords, retryKeywords, httpKeywords, sslKeywords),
	"url":            urlKeywords,
	"SMTP_CHECK":     join(connectKeywords, retryKeywords, smtpKeywords),
	"host":           join(connectKeywords, retryKeywords),
	"DNS_CHECK":      join(connectKeywords, retryKeywords, dnsKeywords),
	"UDP_CHECK":      join(connectKeywords, retryKeywords, udpKeywords),
	"MISC_CHECK":     join(retryKeywords, miscKeywords),
	"BFD_CHECK": {
		{name: "name", tier: 'C', use: served, args: some(), lax: true},
		{name: "alpha", tier: 'C', use: served, args: onOff()},
	},
	"FILE_CHECK": {
		{name: "track_file", tier: 'C', use: served, args: str()},
		{name: "weight", tier: 'C', use: served, args: one(signed(-maxInt32, maxInt32), opt(enum("reverse", "noreverse"))), lax: true},
		{name: "dynamic", tier: 'N', use: inert, why: "the manual names it, the parser never knew it"},
	},
}

// join puts rows together into a table of their own.
func join(parts ...[]keyword) []keyword {
	var out []keyword
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}
