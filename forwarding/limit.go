package forwarding

import (
	"hash/maphash"
	"time"

	"uvs/internal/mono"
)

// How many errors and resets there may be, as in the kernel.
const (
	errorEvery  = time.Millisecond // net.ipv4.icmp_msgs_per_sec 1000
	errorBurst  = 50               // net.ipv4.icmp_msgs_burst
	peerEvery   = time.Second      // net.ipv4.icmp_ratelimit, net.ipv6.icmp.ratelimit
	peerBurst   = 6                // XRLIM_BURST_FACTOR in net/ipv4/icmp.c
	resetEvery  = time.Millisecond // the kernel has no bound of its own
	resetBurst  = 1000             // clients that all lost their flow at the same time
	peerBuckets = 512              // destinations that are told apart
)

// A bucket is a token bucket. The zero bucket is empty.
type bucket struct {
	credit time.Duration // worth credit/every tokens
	at     mono.Time
}

// take takes a token if there is one. A token comes every so often, and burst are kept.
func (b *bucket) take(now mono.Time, every time.Duration, burst int) bool {
	b.credit = min(b.credit+now.Sub(b.at), every*time.Duration(burst))
	b.at = now
	if b.credit < every {
		return false
	}
	b.credit -= every
	return true
}

// A limiter bounds what one of several workers sends of its own accord. It belongs to that
// worker.
type limiter struct {
	workers       time.Duration // that share what there may be
	errors, reset bucket
	seed          maphash.Seed
	peers         [peerBuckets]peerBucket
}

type peerBucket struct {
	hash uint64
	bucket
}

func newLimiter(workers int, now mono.Time) limiter {
	full := bucket{credit: time.Hour, at: now}
	return limiter{workers: time.Duration(workers), errors: full, reset: full, seed: maphash.MakeSeed()}
}

// allowError reports whether an ICMP error may be sent to an address (icmpv4_global_allow,
// icmpv4_xrlim_allow in net/ipv4/icmp.c). An address that shares its bucket with another
// one takes it over; the global bound holds all the same.
func (l *limiter) allowError(addr *[16]byte, now mono.Time) bool {
	h := maphash.Comparable(l.seed, *addr)
	p := &l.peers[h%peerBuckets]
	if p.hash != h {
		*p = peerBucket{h, bucket{credit: time.Hour, at: now}}
	}
	return p.take(now, peerEvery, peerBurst) && l.errors.take(now, errorEvery*l.workers, errorBurst)
}

// allowReset reports whether a TCP reset may be sent.
func (l *limiter) allowReset(now mono.Time) bool {
	return l.reset.take(now, resetEvery*l.workers, resetBurst)
}
