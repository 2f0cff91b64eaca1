package health

import (
	"bytes"
	"crypto/md5"
	"net/netip"
	"regexp"
	"slices"
	"time"
)

// What the absence of a value means, and the bounds that hold whatever a file says.
const (
	// DefaultDelayLoop is used for a DelayLoop that is not positive.
	DefaultDelayLoop = 60 * time.Second
	// DefaultConnectTimeout is used for a ConnectTimeout that is not positive.
	DefaultConnectTimeout = 5 * time.Second
	// MinGap is the least time between the end of a probe and the next probe of the
	// same checker. keepalived has no such floor: with delay_before_retry 0 it sends
	// hundreds of probes a second.
	MinGap = 100 * time.Millisecond
	// StartDelay is what a checker waits before its first probe, on top of the random
	// part of its warm-up.
	StartDelay = time.Second
	// PromptSpread is the time in which the first probes of a list with Prompt begin.
	PromptSpread = time.Second
)

// A Kind says what a checker does. The zero Kind is TCP.
type Kind uint8

// The kinds of checker.
const (
	TCP  Kind = iota // TCP_CHECK: a completed handshake
	HTTP             // HTTP_GET and SSL_GET: what is answered to GET requests
	SMTP             // SMTP_CHECK: a greeting, HELO and QUIT
	DNS              // DNS_CHECK: an answer without an error
	UDP              // UDP_CHECK: no ICMP error, or a fitting reply
	Ping             // PING_CHECK: an echo reply
	Misc             // MISC_CHECK: a program's exit status
	BFD              // BFD_CHECK: the state of a session, which is observed, not asked for
	File             // FILE_CHECK: the number in a file, which is observed, not asked for
	VIP              // check_vip: whether the server itself accepts connections to the virtual address
)

var kindWords = [...]string{"TCP_CHECK", "HTTP_GET", "SMTP_CHECK", "DNS_CHECK", "UDP_CHECK", "PING_CHECK", "MISC_CHECK", "BFD_CHECK", "FILE_CHECK", "check_vip"}

// String returns the word of keepalived.conf, such as TCP_CHECK; check_vip is one of the extra file.
func (k Kind) String() string { return kindWords[k] }

// observed reports whether checkers of a kind are told by [Set.Observe] and do not probe.
func (k Kind) observed() bool { return k == BFD || k == File }

// Word returns the word of keepalived.conf: that of the kind, or SSL_GET.
func (c *Check) Word() string {
	if c.Kind == HTTP && c.TLS != nil {
		return "SSL_GET"
	}
	return c.Kind.String()
}

// A Protocol is what an HTTP checker speaks. The zero Protocol is HTTP10.
type Protocol uint8

// The values of http_protocol.
const (
	HTTP10  Protocol = iota // HTTP/1.0
	HTTP10C                 // HTTP/1.0 with "Connection: close"
	HTTP11                  // HTTP/1.1 with "Connection: close"
)

// A Key names a server: the labels of its virtual service and of itself in keepalived's
// notation, such as "[192.0.2.1]:tcp:80" and "[10.0.0.1]:tcp:80". They appear in
// messages as they are.
type Key struct {
	Service string
	Server  string
}

// A Server is a real server and its checkers. Keys are unique within a list given to
// [Set.Apply]. A Set keeps the slices: nobody may change them any more.
type Server struct {
	Key
	Checks []Check
}

// StartsUp reports whether a server that is new counts as alive before its first probe:
// it does unless one of its checkers has Alpha.
func (s *Server) StartsUp() bool {
	return !slices.ContainsFunc(s.Checks, func(c Check) bool { return c.Alpha })
}

// A Check describes one checker. The zero values of the durations and of Retry mean
// zero, except where noted; the defaults of keepalived.conf are the caller's.
type Check struct {
	Kind   Kind
	Target netip.AddrPort // connect_ip, connect_port

	BindAddr      netip.Addr // bindto; the zero Addr leaves the choice to the kernel
	BindPort      uint16     // bind_port; 0 is any
	BindInterface string     // bind_if; "" is any
	Mark          uint32     // fwmark of the probe's packets; 0 is none

	ConnectTimeout   time.Duration // of each stage and each read; not positive: DefaultConnectTimeout
	Retry            int           // failures in a row that are forgiven while up
	DelayBeforeRetry time.Duration
	DelayLoop        time.Duration // not positive: DefaultDelayLoop
	Warmup           time.Duration // the first probe waits StartDelay and a random part of this
	Prompt           bool          // but that of a new server comes within PromptSpread
	Alpha            bool          // down until a check has succeeded
	LogAllFailures   bool          // an event for each failed probe while up

	// For HTTP only.
	Protocol     Protocol
	FastRecovery bool  // while coming up, go through the urls without waiting DelayLoop
	URLs         []URL // probed in turn; an empty list is one URL with the path "/"
	TLS          *TLS  // nil: without

	// For SMTP only.
	HeloName string // what HELO says

	// For DNS only.
	QueryType uint16 // of the question (RFC 1035, Section 3.2.2)
	QueryName string // what is asked for; "." is the root

	// For UDP only.
	Payload []byte
	Reply   *Reply // what has to come; nil: nothing has to

	// For Misc only.
	Program Program
	Dynamic bool // exit statuses from 2 are success and set the weight to two less

	// For VIP only, whose Target is the virtual address and port.
	Delivery Delivery

	// For BFD and File only.
	Name   string // of the session or file
	Weight int    // of File: what its number is multiplied by
}

// A TLS is how a checker encrypts. Servers' certificates are not verified.
type TLS struct {
	SNI      bool     // send a server name
	Name     string   // that name; "" is the url's virtual host
	Identity Identity // who we are
}

// An Identity names the files of a client's certificate: those of the SSL block. The zero
// Identity shows none.
type Identity struct {
	Password, CA, Certificate, Key string
}

func (t *TLS) equal(o *TLS) bool {
	if t == nil || o == nil {
		return t == o
	}
	return *t == *o
}

// A Reply is what a UDP checker waits for: Min to Max bytes that begin with Data, of which the bits count that are
// set in Mask. Mask is empty, so that all count, or as long as Data.
type Reply struct {
	Min, Max   int
	Data, Mask []byte
}

func (r *Reply) equal(o *Reply) bool {
	if r == nil || o == nil {
		return r == o
	}
	return r.Min == o.Min && r.Max == o.Max && bytes.Equal(r.Data, o.Data) && bytes.Equal(r.Mask, o.Mask)
}

// A Delivery is how a VIP checker's packets get to the server, whatever the network thinks of the virtual address.
type Delivery struct {
	Server netip.Addr
	// Tunnel is "ipip", "gue" or "gre", with the port and the checksum as keepalived.conf has them; "" is direct routing.
	Tunnel   string
	Port     uint16
	Checksum string
}

// A Program is what a Misc checker runs. Checks with other names of users are others.
type Program struct {
	Args        []string
	User, Group string // "" is the configuration's default
	Timeout     time.Duration
}

func (p *Program) equal(o *Program) bool {
	return slices.Equal(p.Args, o.Args) && p.User == o.User && p.Group == o.Group && p.Timeout == o.Timeout
}

// A URL is one request of an HTTP checker and what its answer must be.
type URL struct {
	Path        string
	VirtualHost string    // the Host header as it stands; "" is the target's address and port
	Digest      Digest    // of the body; the zero Digest accepts any
	Status      StatusSet // the zero set accepts 200 to 299
	Regex       *Regex    // nil: any body
	Strict      bool      // TLS: an end of the connection without close_notify is an error
}

func (u URL) equal(o URL) bool {
	same := u.Regex == o.Regex
	if u.Regex != nil && o.Regex != nil {
		same = u.Regex.equal(o.Regex)
	}
	u.Regex, o.Regex = nil, nil
	return same && u == o
}

// A Regex is what is looked for in the body of an answer, of which the first MaxSearched bytes
// count.
type Regex struct {
	Expr     *regexp.Regexp
	NoMatch  bool // a match is the failure
	Min, Max int  // a match begins at Min or later, and before Max unless that is 0
}

// MaxSearched is how many bytes of a body are searched for a Regex. keepalived has no bound.
const MaxSearched = 4 << 20

func (r *Regex) equal(o *Regex) bool {
	return r.Expr.String() == o.Expr.String() && r.NoMatch == o.NoMatch && r.Min == o.Min && r.Max == o.Max
}

// Fits reports whether a body is as asked for.
func (r *Regex) Fits(body []byte) bool {
	from := min(r.Min, len(body))
	at := r.Expr.FindIndex(body[from:])
	found := at != nil && (r.Max == 0 || from+at[0] < r.Max)
	return found != r.NoMatch
}

// A Digest is the MD5 sum of a body, as genhash prints it in hexadecimal.
type Digest [md5.Size]byte

// Status codes that can be asked for.
const (
	minStatus = 100
	maxStatus = 599
)

// A StatusSet is a set of status codes from 100 to 599, 64 bytes large. The zero set
// stands for the default, 200 to 299. Sets are comparable.
type StatusSet struct {
	bits [(maxStatus-minStatus)/64 + 1]uint64
}

// Add puts the codes from lo to hi into the set, both included. Codes outside 100 to
// 599 are left out.
func (s *StatusSet) Add(lo, hi int) {
	for code := max(lo, minStatus); code <= min(hi, maxStatus); code++ {
		s.bits[(code-minStatus)/64] |= 1 << ((code - minStatus) % 64)
	}
}

// Has reports whether an answer with this code is good.
func (s *StatusSet) Has(code int) bool {
	if code < minStatus || code > maxStatus {
		return false
	}
	if *s == (StatusSet{}) {
		return code >= 200 && code <= 299
	}
	return s.bits[(code-minStatus)/64]&(1<<((code-minStatus)%64)) != 0
}

// equal reports whether c and d probe the same thing in the same way.
func (c *Check) equal(d *Check) bool {
	return c.Kind == d.Kind && c.Target == d.Target &&
		c.BindAddr == d.BindAddr && c.BindPort == d.BindPort &&
		c.BindInterface == d.BindInterface && c.Mark == d.Mark &&
		c.ConnectTimeout == d.ConnectTimeout && c.Retry == d.Retry &&
		c.DelayBeforeRetry == d.DelayBeforeRetry && c.DelayLoop == d.DelayLoop &&
		c.Warmup == d.Warmup && c.Prompt == d.Prompt && c.Alpha == d.Alpha && c.LogAllFailures == d.LogAllFailures &&
		c.Protocol == d.Protocol && c.FastRecovery == d.FastRecovery &&
		slices.EqualFunc(c.URLs, d.URLs, URL.equal) && c.TLS.equal(d.TLS) && c.HeloName == d.HeloName &&
		c.QueryType == d.QueryType && c.QueryName == d.QueryName &&
		bytes.Equal(c.Payload, d.Payload) && c.Reply.equal(d.Reply) &&
		c.Program.equal(&d.Program) && c.Dynamic == d.Dynamic && c.Delivery == d.Delivery && c.Name == d.Name && c.Weight == d.Weight
}

// delayLoop is the period that holds: the default for none, never under MinGap.
func (c *Check) delayLoop() time.Duration {
	if c.DelayLoop <= 0 {
		return DefaultDelayLoop
	}
	return max(c.DelayLoop, MinGap)
}

// stageTimeout bounds the connect, the request, and each read of the answer.
func (c *Check) stageTimeout() time.Duration {
	if c.ConnectTimeout <= 0 {
		return DefaultConnectTimeout
	}
	return c.ConnectTimeout
}

// probeTimeout bounds a probe as a whole. keepalived has only the timeout per read, so a
// server that drips a byte now and then holds its checker for ever. Twelve stages leave
// a slow but honest answer its time.
func (c *Check) probeTimeout() time.Duration {
	return max(12*c.stageTimeout(), c.delayLoop())
}

// url returns the URL with index i.
func (c *Check) url(i int) URL {
	if len(c.URLs) == 0 {
		return URL{Path: "/"}
	}
	return c.URLs[i]
}
