package config

import (
	"net/netip"
	"time"
)

// A Checker is one check of a real server: a TCPCheck, HTTPGet, SMTPCheck, DNSCheck, MiscCheck, UDPCheck, PingCheck,
// BFDCheck or FileCheck; or a VIPCheck, which the extra file asks for.
type Checker interface {
	// Common returns what all checkers have. Of a BFDCheck only Pos and Alpha are set, of a FileCheck only Pos; a
	// MiscCheck has nothing that concerns a connection.
	Common() CheckOptions
	// Keyword is the checker's word in the file: "TCP_CHECK", "SSL_GET".
	Keyword() string
}

// CheckOptions are what all checkers have, resolved: checker before real_server before virtual_server before default.
type CheckOptions struct {
	Pos Pos
	// Connect is where the probe goes: connect_ip and connect_port, else the real server. Port 0, with a firewall mark
	// or a service of all ports and no connect_port, cannot be connected to.
	Connect netip.AddrPort
	// BindAddr is the source address, the zero Addr for any.
	BindAddr netip.Addr
	// BindPort is the source port, 0 for any.
	BindPort uint16
	// BindInterface is the device that the probe must leave by, "" for any.
	BindInterface string
	// Fwmark is the mark of the probe's packets, 0 for none.
	Fwmark uint32
	// ConnectTimeout bounds the connection, and each further stage of HTTPGet and SMTPCheck. Over 0.
	ConnectTimeout time.Duration
	// DelayLoop is the time between probes. Over 0.
	DelayLoop time.Duration
	// Retry is how many failures in a row are forgiven while the server is up.
	Retry uint32
	// DelayBeforeRetry is the time from a forgiven failure to the next probe. 0 is legal: the engine has the floor.
	DelayBeforeRetry time.Duration
	// Warmup bounds the random delay of the first probe; WarmupGiven tells whether the file names it, else it is
	// DelayLoop.
	Warmup      time.Duration
	WarmupGiven bool
	// Alpha lets the server begin as down.
	Alpha bool
	// LogAllFailures logs each failed probe, not only verdicts.
	LogAllFailures bool
}

// Common returns the options themselves.
func (o CheckOptions) Common() CheckOptions { return o }

// A TCPCheck passes when a connection is made.
type TCPCheck struct{ CheckOptions }

// Keyword returns "TCP_CHECK".
func (TCPCheck) Keyword() string { return "TCP_CHECK" }

// An HTTPGet passes when all its URLs answer as they should.
type HTTPGet struct {
	CheckOptions
	// TLS tells SSL_GET from HTTP_GET.
	TLS bool
	// Version is the word of http_protocol: "1.0", "1.0C" (with Connection: close) or "1.1".
	Version string
	// FastRecovery probes again at once after the first success of a server that is down.
	FastRecovery bool
	// SNI sends a server name in the TLS handshake: SNIName, else the URL's Host. Only with TLS.
	SNI     bool
	SNIName string
	// URLs are probed in this order; there is at least one.
	URLs []URL
}

// Keyword returns "HTTP_GET" or "SSL_GET".
func (c HTTPGet) Keyword() string {
	if c.TLS {
		return "SSL_GET"
	}
	return "HTTP_GET"
}

// A URL is one request of an HTTPGet and what its answer must be.
type URL struct {
	Pos  Pos
	Path string
	// Host is the value of the Host header: virtualhost of url, checker, real_server or virtual_server; "" means the
	// address and port that the probe connects to.
	Host string
	// Digest is the MD5 sum that the body must have, if HasDigest.
	Digest    [16]byte
	HasDigest bool
	// Statuses are the answers that pass; never empty, by default 200–299.
	Statuses []StatusRange
	// Regex is searched for in the body, nil for none.
	Regex *Regex
	// TLSCompliant takes an end of the connection without TLS's close_notify for an error.
	TLSCompliant bool
}

// A StatusRange is a range of HTTP status codes, both ends included, within 100 to 599.
type StatusRange struct{ First, Last uint16 }

// A Regex is an expression that the body of an answer must match.
type Regex struct {
	// Pattern is as written; it and Options, put in front, compile as RE2.
	Pattern string
	// Options are RE2's flags "i", "m", "s" and "U" of regex_options.
	Options string
	// NoMatch is regex_no_match: the check fails on a match.
	NoMatch bool
	// MinOffset and MaxOffset bound where a match may begin, in bytes from the start of the body: at MinOffset or later
	// and before MaxOffset, which is 0 without a bound.
	MinOffset, MaxOffset int
}

// Expr returns the expression with its options, as regexp.Compile takes it.
func (r *Regex) Expr() string {
	if r.Options == "" {
		return r.Pattern
	}
	return "(?" + r.Options + ")" + r.Pattern
}

// An SMTPCheck passes when a mail server greets, takes a HELO and says good-bye.
type SMTPCheck struct {
	CheckOptions
	// HeloName is the argument of HELO, never "".
	HeloName string
}

// Keyword returns "SMTP_CHECK".
func (SMTPCheck) Keyword() string { return "SMTP_CHECK" }

// A DNSCheck passes when a name server answers without error.
type DNSCheck struct {
	CheckOptions
	// Type is A, NS, CNAME, SOA, MX, TXT, AAAA, RRSIG or DNSKEY.
	Type string
	// Name is asked for, "." for the root.
	Name string
}

// Keyword returns "DNS_CHECK".
func (DNSCheck) Keyword() string { return "DNS_CHECK" }

// A MiscCheck runs a program and passes when that exits with 0.
type MiscCheck struct {
	CheckOptions
	Command Command
	// Timeout bounds the run; over 0.
	Timeout time.Duration
	// Dynamic takes exit statuses 2 to 255 as success with weight status − 2.
	Dynamic bool
}

// Keyword returns "MISC_CHECK".
func (MiscCheck) Keyword() string { return "MISC_CHECK" }

// A UDPCheck sends a datagram and passes when no ICMP error comes, or with RequireReply when a fitting answer does.
type UDPCheck struct {
	CheckOptions
	// Payload is what is sent; empty sends an empty datagram.
	Payload []byte
	// RequireReply waits for an answer of MinReply to MaxReply bytes that begins with Reply where ReplyMask has ones.
	RequireReply       bool
	MinReply, MaxReply int
	// Reply and ReplyMask are of one length; empty takes any answer.
	Reply, ReplyMask []byte
}

// Keyword returns "UDP_CHECK".
func (UDPCheck) Keyword() string { return "UDP_CHECK" }

// A PingCheck passes when an ICMP echo is answered.
type PingCheck struct{ CheckOptions }

// Keyword returns "PING_CHECK".
func (PingCheck) Keyword() string { return "PING_CHECK" }

// A BFDCheck passes while a BFD session is up.
type BFDCheck struct {
	CheckOptions
	// Name is that of a BFD of the configuration that tells checkers.
	Name string
}

// Keyword returns "BFD_CHECK".
func (BFDCheck) Keyword() string { return "BFD_CHECK" }

// A FileCheck changes the server's weight by the number in a track_file.
type FileCheck struct {
	CheckOptions
	// Name is that of a TrackFile of the configuration.
	Name string
	// Weight multiplies the number, -2147483647 to 2147483647; Reverse turns its sign.
	Weight  int
	Reverse bool
}

// Keyword returns "FILE_CHECK".
func (FileCheck) Keyword() string { return "FILE_CHECK" }
