package forwarding

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sysctls are IPVS's settings by the names they have below net.ipv4.vs. (the kernel's
// Documentation/networking/ipvs-sysctl.rst). Each field says what it does here; most of
// what has no effect is refused nowhere, so that a site's sysctl.conf can be used as it
// is, and named by List. The zero value is not the kernel's: begin with DefaultSysctls. A
// Sysctls is a value; it belongs to who holds it.
type Sysctls struct {
	// SloppyTCP lets TCP segments without SYN open a flow. RST never does.
	SloppyTCP bool
	// SloppySCTP lets SCTP packets without INIT open a flow. ABORT never does.
	SloppySCTP bool
	// ExpireNodestConn ends a removed server's flows at once instead of dropping their
	// packets, and lets a SYN leave a server of weight 0.
	ExpireNodestConn bool
	// ExpireQuiescentTemplate makes a server's weight 0 end its persistence templates.
	ExpireQuiescentTemplate bool
	// ConnReuseMode says when a SYN on the ports of a flow opens another one: 0 never; else
	// in TIME_WAIT and CLOSE, and with bit 1 (2, 3) also in FIN_WAIT if no reply was seen.
	ConnReuseMode int
	// RunEstimation estimates rates; without it they stand still.
	RunEstimation bool

	// NatICMPSend answers a NAT server's packet of no flow with port unreachable instead of
	// routing it untranslated.
	NatICMPSend bool
	// LBLCExpiration is for how long the scheduler lblc remembers an address that no new
	// connection goes to, LBLCRExpiration the same of lblcr, which also drops a server from
	// a set that has not changed for so long. Whole seconds.
	LBLCExpiration, LBLCRExpiration time.Duration

	// PMTUDisc gives a tunnel's outer packets the DF of IPv4 packets inside, and has the senders
	// of those that are too long told. Without it the outer packets are fragmented.
	PMTUDisc bool

	// ScheduleICMP lets an ICMP error about a packet of no flow open one.
	ScheduleICMP bool

	// DropEntry, DropPacket and SecureTCP defend against floods: 0 never, 1 while less than
	// Amemthresh pages of memory are free, and then they read 2; 3 always. They end flows that
	// floods leave, drop one in so many packets that would open a flow, and have TCP follow a
	// stricter state table. DropPacket drops one in AmDroprate always, or the more the scarcer
	// memory is.
	DropEntry, DropPacket, SecureTCP int
	Amemthresh, AmDroprate           int

	Conntrack         bool
	SnatReroute       bool
	CacheBypass       bool
	BackupOnly        bool
	IgnoreTunneled    bool
	SyncVersion       int
	SyncPorts         int
	SyncPersistMode   int
	SyncThreshold     [2]int // packets until a flow is sent, and between later sends
	SyncRefreshPeriod int    // seconds
	SyncRetries       int
	SyncQlenMax       int // 0: a thirty-second of the memory
	SyncSockSize      int
}

// DefaultSysctls returns the kernel's defaults (ip_vs_control_net_init_sysctl).
func DefaultSysctls() Sysctls {
	return Sysctls{
		ConnReuseMode: 1,
		RunEstimation: true,
		SnatReroute:   true,
		PMTUDisc:      true,
		SyncVersion:   1,
		SyncPorts:     1,
		SyncThreshold: [2]int{3, 50},
		Amemthresh:    1024,
		AmDroprate:    10,

		LBLCExpiration:  24 * time.Hour,
		LBLCRExpiration: 24 * time.Hour,
	}
}

// A Sysctl is one setting in a listing.
type Sysctl struct {
	Name    string // without "net.ipv4.vs."
	Value   string // as sysctl(8) prints it
	Default string
	// Unserved says why the value has no effect, in one phrase; empty: it has its effect.
	Unserved string
}

// Set changes a setting by its name, with or without "net.ipv4.vs." in front. value is
// what one would write to the file: a decimal number, for sync_threshold two. An error
// names the value and what it may be; nothing has changed then.
func (s *Sysctls) Set(name, value string) error {
	name = strings.TrimPrefix(name, sysctlPrefix)
	i := findSetting(name)
	if i < 0 {
		return fmt.Errorf("no setting %s%s (have: %s)", sysctlPrefix, name, strings.Join(settingNames(), ", "))
	}
	x := &settings()[i]
	next := *s
	if x.pair != nil {
		return s.setThreshold(value)
	}
	n, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil || n < x.low || n > x.high {
		return fmt.Errorf("%s%s: %q is not a whole number from %d to %d", sysctlPrefix, name, value, x.low, x.high)
	}
	if name == "sync_ports" && n&(n-1) != 0 {
		return fmt.Errorf("%s%s: %d is not a power of two", sysctlPrefix, name, n)
	}
	x.set(&next, n)
	*s = next
	return nil
}

// setThreshold sets sync_threshold (proc_do_sync_threshold).
func (s *Sysctls) setThreshold(value string) error {
	words := strings.Fields(value)
	var pair [2]int
	ok := len(words) == len(pair)
	for i, w := range words {
		if i < len(pair) {
			n, err := strconv.Atoi(w)
			ok = ok && err == nil && n >= 0 && n <= math.MaxInt32
			pair[i] = n
		}
	}
	if !ok || pair[1] != 0 && pair[0] >= pair[1] {
		return fmt.Errorf("%ssync_threshold: %q is not two whole numbers, the first less than the second", sysctlPrefix, value)
	}
	s.SyncThreshold = pair
	return nil
}

// Get returns a setting by its name, with or without "net.ipv4.vs." in front. ok is false
// if there is none of that name.
func (s *Sysctls) Get(name string) (value string, ok bool) {
	i := findSetting(strings.TrimPrefix(name, sysctlPrefix))
	if i < 0 {
		return "", false
	}
	return settings()[i].text(s), true
}

// List returns every setting, sorted by name.
func (s *Sysctls) List() []Sysctl {
	standard := DefaultSysctls()
	all := settings()
	list := make([]Sysctl, len(all))
	for i := range all {
		x := &all[i]
		list[i] = Sysctl{Name: x.name, Value: x.text(s), Default: x.text(&standard), Unserved: x.unserved}
	}
	return list
}

const sysctlPrefix = "net.ipv4.vs."

// A setting says where a name is kept and what it may be. Exactly one of flag, number,
// seconds and pair is set.
type setting struct {
	name      string
	flag      func(*Sysctls) *bool
	number    func(*Sysctls) *int
	seconds   func(*Sysctls) *time.Duration
	pair      func(*Sysctls) *[2]int
	low, high int
	unserved  string
}

func (x *setting) set(s *Sysctls, n int) {
	switch {
	case x.flag != nil:
		*x.flag(s) = n != 0
	case x.seconds != nil:
		*x.seconds(s) = time.Duration(n) * time.Second
	default:
		*x.number(s) = n
	}
}

func (x *setting) text(s *Sysctls) string {
	switch {
	case x.flag != nil:
		if *x.flag(s) {
			return "1"
		}
		return "0"
	case x.seconds != nil:
		return strconv.Itoa(int(*x.seconds(s) / time.Second))
	case x.pair != nil:
		return fmt.Sprintf("%d\t%d", x.pair(s)[0], x.pair(s)[1])
	}
	return strconv.Itoa(*x.number(s))
}

// Why a setting has no effect.
const (
	noSync = "connections are not synchronised between directors yet"
)

// settings returns all settings, sorted by name.
func settings() []setting {
	flag := func(name, unserved string, at func(*Sysctls) *bool) setting {
		return setting{name: name, flag: at, high: 1, unserved: unserved}
	}
	number := func(name, unserved string, low, high int, at func(*Sysctls) *int) setting {
		return setting{name: name, number: at, low: low, high: high, unserved: unserved}
	}
	seconds := func(name string, at func(*Sysctls) *time.Duration) setting {
		return setting{name: name, seconds: at, high: math.MaxInt32}
	}
	return []setting{
		number("am_droprate", "", 0, math.MaxInt32, func(s *Sysctls) *int { return &s.AmDroprate }),
		number("amemthresh", "", 0, math.MaxInt32, func(s *Sysctls) *int { return &s.Amemthresh }),
		flag("backup_only", "", func(s *Sysctls) *bool { return &s.BackupOnly }),
		flag("cache_bypass", "packets to addresses that are not this machine's own are left to its stack", func(s *Sysctls) *bool { return &s.CacheBypass }),
		number("conn_reuse_mode", "", 0, 3, func(s *Sysctls) *int { return &s.ConnReuseMode }),
		flag("conntrack", "packets do not pass netfilter", func(s *Sysctls) *bool { return &s.Conntrack }),
		number("drop_entry", "", 0, 3, func(s *Sysctls) *int { return &s.DropEntry }),
		number("drop_packet", "", 0, 3, func(s *Sysctls) *int { return &s.DropPacket }),
		flag("expire_nodest_conn", "", func(s *Sysctls) *bool { return &s.ExpireNodestConn }),
		flag("expire_quiescent_template", "", func(s *Sysctls) *bool { return &s.ExpireQuiescentTemplate }),
		flag("ignore_tunneled", "what comes out of the host's own tunnels is never taken: 1 is in force", func(s *Sysctls) *bool { return &s.IgnoreTunneled }),
		seconds("lblc_expiration", func(s *Sysctls) *time.Duration { return &s.LBLCExpiration }),
		seconds("lblcr_expiration", func(s *Sysctls) *time.Duration { return &s.LBLCRExpiration }),
		flag("nat_icmp_send", "", func(s *Sysctls) *bool { return &s.NatICMPSend }),
		flag("pmtu_disc", "", func(s *Sysctls) *bool { return &s.PMTUDisc }),
		flag("run_estimation", "", func(s *Sysctls) *bool { return &s.RunEstimation }),
		flag("schedule_icmp", "", func(s *Sysctls) *bool { return &s.ScheduleICMP }),
		number("secure_tcp", "", 0, 3, func(s *Sysctls) *int { return &s.SecureTCP }),
		flag("sloppy_sctp", "", func(s *Sysctls) *bool { return &s.SloppySCTP }),
		flag("sloppy_tcp", "", func(s *Sysctls) *bool { return &s.SloppyTCP }),
		flag("snat_reroute", "replies always go by the client's route", func(s *Sysctls) *bool { return &s.SnatReroute }),
		number("sync_persist_mode", noSync, 0, 1, func(s *Sysctls) *int { return &s.SyncPersistMode }),
		number("sync_ports", noSync, 1, 64, func(s *Sysctls) *int { return &s.SyncPorts }),
		number("sync_qlen_max", noSync, 0, math.MaxInt32, func(s *Sysctls) *int { return &s.SyncQlenMax }),
		number("sync_refresh_period", noSync, 0, math.MaxInt32, func(s *Sysctls) *int { return &s.SyncRefreshPeriod }),
		number("sync_retries", noSync, 0, 3, func(s *Sysctls) *int { return &s.SyncRetries }),
		number("sync_sock_size", noSync, 0, math.MaxInt32, func(s *Sysctls) *int { return &s.SyncSockSize }),
		{name: "sync_threshold", pair: func(s *Sysctls) *[2]int { return &s.SyncThreshold }, unserved: noSync},
		number("sync_version", noSync, 0, 1, func(s *Sysctls) *int { return &s.SyncVersion }),
	}
}

func findSetting(name string) int {
	return slices.IndexFunc(settings(), func(x setting) bool { return x.name == name })
}

func settingNames() []string {
	all := settings()
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].name
	}
	return names
}

// SetSysctls makes settings count from each worker's next batch on. Safe for use by many
// goroutines.
func (e *Engine) SetSysctls(s Sysctls) {
	e.sysctls.Store(&s)
	e.judgeMemory()
}

// Sysctls returns the settings in force. Safe for use by many goroutines.
func (e *Engine) Sysctls() Sysctls { return *e.sysctls.Load() }
