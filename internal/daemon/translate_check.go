package daemon

import (
	"regexp"

	"uvs/config"
	"uvs/health"
)

// translateCheck puts a checker into the terms of health. It is pure.
func translateCheck(c config.Checker, client config.ClientTLS) health.Check {
	o := c.Common()
	check := health.Check{
		Target:           o.Connect,
		BindAddr:         o.BindAddr,
		BindPort:         o.BindPort,
		BindInterface:    o.BindInterface,
		Mark:             o.Fwmark,
		ConnectTimeout:   o.ConnectTimeout,
		Retry:            int(o.Retry),
		DelayBeforeRetry: o.DelayBeforeRetry,
		DelayLoop:        o.DelayLoop,
		Warmup:           o.Warmup,
		Prompt:           !o.WarmupGiven,
		Alpha:            o.Alpha,
		LogAllFailures:   o.LogAllFailures,
	}
	switch x := c.(type) {
	case config.HTTPGet:
		translateHTTP(&x, client, &check)
	case config.SMTPCheck:
		check.Kind, check.HeloName = health.SMTP, x.HeloName
	case config.DNSCheck:
		check.Kind, check.QueryType, check.QueryName = health.DNS, queryType(x.Type), x.Name
	case config.UDPCheck:
		check.Kind, check.Payload = health.UDP, x.Payload
		if x.RequireReply {
			check.Reply = &health.Reply{Min: x.MinReply, Max: x.MaxReply, Data: x.Reply, Mask: x.ReplyMask}
		}
	case config.VIPCheck:
		check.Kind = health.VIP
	case config.PingCheck:
		check.Kind = health.Ping
	case config.MiscCheck:
		check.Kind, check.Dynamic = health.Misc, x.Dynamic
		check.Program = health.Program{Args: x.Command.Args, User: x.Command.User, Group: x.Command.Group, Timeout: x.Timeout}
	case config.BFDCheck:
		check.Kind, check.Name = health.BFD, x.Name
	case config.FileCheck:
		check.Kind, check.Name, check.Weight = health.File, x.Name, x.Weight
		if x.Reverse {
			check.Weight = -x.Weight
		}
	}
	return check
}

func translateHTTP(h *config.HTTPGet, client config.ClientTLS, check *health.Check) {
	check.Kind, check.FastRecovery = health.HTTP, h.FastRecovery
	switch h.Version {
	case "1.0C":
		check.Protocol = health.HTTP10C
	case "1.1":
		check.Protocol = health.HTTP11
	}
	for _, u := range h.URLs {
		check.URLs = append(check.URLs, translateURL(u))
	}
	if h.TLS {
		check.TLS = &health.TLS{SNI: h.SNI, Name: h.SNIName, Identity: health.Identity(client)}
	}
}

func translateURL(u config.URL) health.URL {
	out := health.URL{Path: u.Path, VirtualHost: u.Host, Strict: u.TLSCompliant}
	if u.HasDigest {
		out.Digest = u.Digest
	}
	for _, r := range u.Statuses {
		out.Status.Add(int(r.First), int(r.Last))
	}
	if x := u.Regex; x != nil {
		if expr, err := regexp.Compile(x.Expr()); err == nil { // config has compiled it already
			out.Regex = &health.Regex{Expr: expr, NoMatch: x.NoMatch, Min: x.MinOffset, Max: x.MaxOffset}
		}
	}
	return out
}

// queryType returns the number of a type of DNS records (RFC 1035, 3596 and 4034).
func queryType(word string) uint16 {
	return map[string]uint16{"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28, "RRSIG": 46, "DNSKEY": 48}[word]
}
