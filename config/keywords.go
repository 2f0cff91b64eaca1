package config

// keywords is the whole inventory of keepalived.conf(5): context → words. A context is the keyword of a block; "" is
// the top level. The table is never written to.
var keywords = map[string][]keyword{
	"": {
		{name: "global_defs", tier: 'A', use: served, block: "global_defs"},
		{name: "vrrp_instance", tier: 'A', use: partly, args: str(), block: "vrrp_instance", lax: true, why: "no election is held, the addresses are set at start"},
		{name: "vrrp_sync_group", tier: 'B', args: str(), block: "vrrp_sync_group", lax: true},
		{name: "vrrp_script", tier: 'A', use: unserved, args: str(), block: "vrrp_script"},
		{name: "virtual_server", tier: 'A', use: served, args: one(arg{}, opt(arg{})), block: "virtual_server"},
		{name: "virtual_server_group", tier: 'B', use: served, args: str(), block: lines},
		{name: "static_ipaddress", tier: 'C', block: lines},
		{name: "static_routes", tier: 'C', block: lines},
		{name: "static_rules", tier: 'C', block: lines},
		{name: "track_group", tier: 'C', args: str(), block: "track_group", lax: true},
		{name: "track_file", tier: 'C', args: str(), block: "track_file"},
		{name: "vrrp_track_file", tier: 'C', args: str(), block: "track_file"},
		{name: "vrrp_track_process", tier: 'C', args: str(), block: "vrrp_track_process"},
		{name: "bfd_instance", tier: 'C', args: str(), block: "bfd_instance", lax: true},
		{name: "garp_group", tier: 'C', block: "garp_group"},
		{name: "linkbeat_interfaces", tier: 'N', use: inert, block: lines, why: "link state comes by netlink"},
		{name: "linkbeat_use_polling", tier: 'N', use: inert, why: "link state comes by netlink"},
		{name: "interface_up_down_delays", tier: 'C', block: lines},
		{name: "SSL", tier: 'C', block: "SSL"},
		{name: "net_namespace", tier: 'C', args: str(), lax: true},
		{name: "net_namespace_ipvs", tier: 'C', args: str(), lax: true},
		{name: "namespace_with_ipsets", tier: 'N', use: inert, why: "no ipset is used"},
		{name: "instance", tier: 'C', args: str(), lax: true},
		{name: "use_pid_dir", tier: 'C'},
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
	"track_group":        {{name: "group", tier: 'C', args: rest(), block: lines}},
	"SSL": {
		{name: "password", tier: 'C', args: str(), lax: true},
		{name: "ca", tier: 'C', args: str(), lax: true},
		{name: "certificate", tier: 'C', args: str(), lax: true},
		{name: "key", tier: 'C', args: str(), lax: true},
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
