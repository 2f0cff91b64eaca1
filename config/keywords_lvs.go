package config

import "time"

// schedulers are the names that lb_algo takes.
var schedulers = []string{"rr", "wrr", "lc", "wlc", "dh", "fo", "lblc", "lblcr", "mh", "nq", "ovf", "sed", "sh", "twos"}

// maxConnectTimeout is keepalived's bound, 2^32-1 µs.
const maxConnectTimeout = maxUint32 * time.Microsecond

func connectTimeout() []arg { return one(timer(time.Microsecond, maxConnectTimeout)) }

// virtualServerKeywords are the words of virtual_server.
var virtualServerKeywords = []keyword{
	{name: "delay_loop", tier: 'A', use: served, args: posTimer()},
	{name: "lb_algo", tier: 'A', use: served, args: one(enum(schedulers...))},
	{name: "lvs_sched", tier: 'A', use: served, as: "lb_algo", args: one(enum(schedulers...))},
	{name: "lb_kind", tier: 'A', use: served, as: "lvs_method", args: some()},
	{name: "lvs_method", tier: 'A', use: served, args: some()},
	{name: "protocol", tier: 'A', use: served, args: one(enumFold("TCP", "UDP", "SCTP"))},
	{name: "persistence_timeout", tier: 'A', use: served, args: one(opt(num(1, 2678400)))},
	{name: "persistence_granularity", tier: 'B', use: served, args: str()},
	{name: "persistence_engine", tier: 'C', use: served, args: str()},
	{name: "ops", tier: 'B', use: served},
	{name: "sh-port", tier: 'C', use: served},
	{name: "sh-fallback", tier: 'C', use: served},
	{name: "mh-port", tier: 'C', use: served},
	{name: "mh-fallback", tier: 'C', use: served},
	{name: "flag-1", tier: 'C', use: served},
	{name: "flag-2", tier: 'C', use: served},
	{name: "flag-3", tier: 'C', use: served},
	{name: "hashed", tier: 'N', use: served},
	{name: "sorry_server", tier: 'A', use: served, args: one(arg{}, opt(arg{}))},
	{name: "sorry_server_inhibit", tier: 'C', use: served},
	{name: "sorry_server_lvs_method", tier: 'C', use: served, args: rest()},
	{name: "virtualhost", tier: 'B', use: served, args: str(), lax: true},
	{name: "quorum", tier: 'B', use: served, args: str()},
	{name: "hysteresis", tier: 'C', use: served, args: one(num(0, maxUint32))},
	{name: "quorum_up", tier: 'B', use: served, args: some(), shell: true},
	{name: "quorum_down", tier: 'B', use: served, args: some(), shell: true},
	{name: "alpha", tier: 'B', use: served},
	{name: "omega", tier: 'B', use: served},
	{name: "inhibit_on_failure", tier: 'B', use: served},
	{name: "ha_suspend", tier: 'C', use: served},
	{name: "connect_timeout", tier: 'A', use: served, args: connectTimeout()},
	{name: "retry", tier: 'A', use: served, args: one(num(1, maxUint32))},
	{name: "delay_before_retry", tier: 'A', use: served, args: anyTimer()},
	{name: "warmup", tier: 'B', use: served, args: anyTimer()},
	{name: "weight", tier: 'C', use: served, args: one(num(1, maxInt32))},
	{name: "smtp_alert", tier: 'B', use: served, args: onOff()},
	{name: "ip_family", tier: 'C', use: served, args: one(enum("inet", "inet6"))},
	{name: "snmp_name", tier: 'N', use: inert, args: str(), why: cAgent, lax: true, exact: true},
	{name: "real_server", tier: 'A', use: served, args: one(arg{}, opt(arg{})), block: "real_server"},
}

// realServerKeywords are the words of real_server.
var realServerKeywords = []keyword{
	{name: "weight", tier: 'A', use: served, args: one(num(0, maxInt32))},
	{name: "inhibit_on_failure", tier: 'A', use: served, args: onOff()},
	{name: "lvs_method", tier: 'B', use: served, args: some()},
	{name: "uthreshold", tier: 'B', use: served, args: one(num(0, maxUint32))},
	{name: "lthreshold", tier: 'B', use: served, args: one(num(0, maxUint32))},
	{name: "notify_up", tier: 'B', use: served, args: some(), shell: true},
	{name: "notify_down", tier: 'B', use: served, args: some(), shell: true},
	{name: "alpha", tier: 'B', use: served, args: onOff()},
	{name: "retry", tier: 'B', use: served, args: one(num(1, maxUint32))},
	{name: "delay_before_retry", tier: 'B', use: served, args: anyTimer()},
	{name: "warmup", tier: 'B', use: served, args: anyTimer()},
	{name: "delay_loop", tier: 'B', use: served, args: posTimer()},
	{name: "connect_timeout", tier: 'B', use: served, args: connectTimeout()},
	{name: "virtualhost", tier: 'B', use: served, args: str(), lax: true},
	{name: "smtp_alert", tier: 'B', use: served, args: onOff()},
	{name: "snmp_name", tier: 'N', use: inert, args: str(), why: cAgent, lax: true, exact: true},
	{name: "TCP_CHECK", tier: 'A', use: served, block: "TCP_CHECK"},
	{name: "HTTP_GET", tier: 'A', use: served, block: "HTTP_GET"},
	{name: "SSL_GET", tier: 'A', use: served, block: "SSL_GET"},
	{name: "SMTP_CHECK", tier: 'B', use: served, block: "SMTP_CHECK"},
	{name: "DNS_CHECK", tier: 'B', use: served, block: "DNS_CHECK"},
	{name: "MISC_CHECK", tier: 'A', use: served, block: "MISC_CHECK"},
	{name: "UDP_CHECK", tier: 'C', use: served, block: "UDP_CHECK", why: "as in keepalived silence is success without `require_reply`, so that a dead server seems alive " +
		"now and then when several services check it: its kernel limits ICMP errors (Linux: one a second to an address)"},
	{name: "PING_CHECK", tier: 'C', use: served, block: "PING_CHECK"},
	{name: "BFD_CHECK", tier: 'C', use: served, block: "BFD_CHECK"},
	{name: "FILE_CHECK", tier: 'C', use: served, block: "FILE_CHECK"},
}

// connectKeywords say where a checker connects to.
var connectKeywords = []keyword{
	{name: "connect_ip", tier: 'B', use: served, args: str()},
	{name: "connect_port", tier: 'B', use: served, args: one(num(1, 65535))},
	{name: "bindto", tier: 'B', use: served, args: str()},
	{name: "bind_port", tier: 'B', use: served, args: one(num(1, 65535))},
	{name: "bind_if", tier: 'B', use: served, args: str()},
	{name: "connect_timeout", tier: 'A', use: served, args: connectTimeout()},
	{name: "fwmark", tier: 'C', use: served, args: one(num(0, maxUint32))},
}

// retryKeywords say how often a checker probes.
var retryKeywords = []keyword{
	{name: "retry", tier: 'A', use: served, args: one(num(0, maxUint32))},
	{name: "delay_before_retry", tier: 'A', use: served, args: anyTimer()},
	{name: "warmup", tier: 'B', use: served, args: anyTimer()},
	{name: "delay_loop", tier: 'B', use: served, args: posTimer()},
	{name: "alpha", tier: 'B', use: served, args: onOff()},
	{name: "log_all_failures", tier: 'C', use: served, args: onOff()},
}

// httpKeywords are the own words of HTTP_GET and SSL_GET.
var httpKeywords = []keyword{
	{name: "nb_get_retry", tier: 'A', use: deprecated, as: "retry", fault: true, args: one(num(0, maxUint32))},
	{name: "virtualhost", tier: 'B', use: served, args: str(), lax: true},
	{name: "http_protocol", tier: 'B', use: served, args: one(enumFold("1.0", "1.0C", "1.1")), lax: true},
	{name: "fast_recovery", tier: 'C', use: served, args: onOff()},
	{name: "enable_sni", tier: 'C', use: served, args: onOff()},
	{name: "sni_name", tier: 'C', use: served, args: str()},
	{name: "url", tier: 'A', use: served, block: "url"},
}

// sslKeywords are the own words of SSL_GET.
var sslKeywords = []keyword{
	{name: "tls_compliant", tier: 'C', use: served, args: onOff()},
}

// urlKeywords are the words of url.
var urlKeywords = []keyword{
	{name: "path", tier: 'A', use: served, args: str()},
	{name: "digest", tier: 'A', use: served, args: str()},
	{name: "status_code", tier: 'A', use: served, args: rest()},
	{name: "virtualhost", tier: 'B', use: served, args: str(), lax: true},
	{name: "regex", tier: 'C', use: served, args: rest(), shell: true},
	{name: "regex_no_match", tier: 'C', use: served},
	{name: "regex_options", tier: 'C', use: served, args: rest()},
	{name: "regex_min_offset", tier: 'C', use: served, args: rest()},
	{name: "regex_max_offset", tier: 'C', use: served, args: rest()},
	{name: "regex_stack", tier: 'C', use: partly, args: rest(), why: "its bounds are checked, and RE2 needs no stack"},
	{name: "tls_compliant", tier: 'C', use: served, args: onOff()},
}

// smtpKeywords, dnsKeywords, udpKeywords and miscKeywords are the own words of those checkers.
var (
	smtpKeywords = []keyword{
		{name: "helo_name", tier: 'B', use: served, args: str(), lax: true},
		{name: "host", tier: 'B', use: deprecated, block: "host", why: "write one SMTP_CHECK for each host"},
	}
	dnsKeywords = []keyword{
		{name: "type", tier: 'B', use: served, args: one(enumFold("A", "NS", "CNAME", "SOA", "MX", "TXT", "AAAA", "RRSIG", "DNSKEY"))},
		{name: "name", tier: 'B', use: served, args: str()},
	}
	udpKeywords = []keyword{
		{name: "payload", tier: 'C', use: served, args: some(), lax: true},
		{name: "require_reply", tier: 'C', use: served, args: rest()},
		{name: "min_reply_length", tier: 'C', use: served, args: one(num(0, 65535))},
		{name: "max_reply_length", tier: 'C', use: served, args: one(num(0, 65535))},
	}
	miscKeywords = []keyword{
		{name: "misc_path", tier: 'A', use: served, args: some(), shell: true, lax: true},
		{name: "misc_timeout", tier: 'A', use: served, args: one(num(0, maxUint32/1000000))},
		{name: "misc_dynamic", tier: 'A', use: served},
		{name: "user", tier: 'A', use: served, args: one(arg{}, opt(arg{})), lax: true},
	}
)
