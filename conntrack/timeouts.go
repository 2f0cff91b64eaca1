package conntrack

import (
	"fmt"
	"time"

	"uvs/internal/mono"
)

// tick is the resolution of deadlines. In 32 bits its ticks last for 17 years.
const tick = time.Second / 8

// maxTimeout is what ipvsadm accepts at most for --set.
const maxTimeout = 31 * 24 * time.Hour

// firstTimeout is the time a new flow gets before its first packet moves it (ip_vs_conn_new).
const firstTimeout = 3 * time.Second

// Timeouts holds, for each [State], how long a flow stays without a packet: 125 ms to
// 31 days. A zero means "as it is": in a [Config] the kernel's value, in
// [Table.SetTimeouts] the one in force.
type Timeouts [numStates]time.Duration

// sctpMaxRTO is a little more than the longest retransmission timeout of SCTP.
const sctpMaxRTO = 61 * time.Second

// DefaultTimeouts returns the kernel's (tcp_timeouts, udp_timeouts, sctp_timeouts).
func DefaultTimeouts() Timeouts {
	return Timeouts{
		None:        2 * time.Second,
		Established: 15 * time.Minute,
		SynSent:     2 * time.Minute,
		SynRecv:     time.Minute,
		FinWait:     2 * time.Minute,
		TimeWait:    2 * time.Minute,
		Close:       10 * time.Second,
		CloseWait:   time.Minute,
		LastAck:     30 * time.Second,
		Listen:      2 * time.Minute,
		SynAck:      2 * time.Minute,
		UDP:         5 * time.Minute,

		SCTPInit1:            4 * time.Second,
		SCTPInit:             sctpMaxRTO,
		SCTPCookieSent:       sctpMaxRTO,
		SCTPCookieReplied:    sctpMaxRTO,
		SCTPCookieWait:       sctpMaxRTO,
		SCTPCookie:           sctpMaxRTO,
		SCTPCookieEchoed:     sctpMaxRTO,
		SCTPEstablished:      15 * time.Minute,
		SCTPShutdownSent:     sctpMaxRTO,
		SCTPShutdownReceived: sctpMaxRTO,
		SCTPShutdownAckSent:  sctpMaxRTO,
		SCTPRejected:         4 * time.Second,
		SCTPClosed:           sctpMaxRTO,
	}
}

func (tm *Timeouts) check() error {
	for s, d := range tm {
		if d != 0 && (d < tick || d > maxTimeout) {
			return fmt.Errorf("timeout %v of state %v is not from %v to %v", d, State(s), tick, maxTimeout)
		}
	}
	return nil
}

// tickOf returns the tick that has begun at t.
func tickOf(t mono.Time) uint32 { return uint32(t / mono.Time(tick)) }

// deadline returns the first tick at which a flow with ticks of time left at now is over.
// The one added makes up for the part of the present tick that has gone: a flow never
// ends early.
func deadline(now mono.Time, ticks uint32) uint32 { return tickOf(now) + ticks + 1 }

// ticksOf converts d, rounding up.
func ticksOf(d time.Duration) uint32 { return uint32((d + tick - 1) / tick) }
