// Package health finds out which real servers can be used.
//
// A [Server] is one real server of one virtual service and the [Check] list that
// watches it. It is up while all its checkers are up; without checkers it always is.
// A [Machine] decides for one checker: what a probe's [Outcome] means, which url comes
// next and when. It is pure: no clock, socket or goroutine. A [Prober] does what a
// machine asks for; [NetProber] is the one with sockets. A [Set] runs the machines of
// many servers and tells its owner by [Event] what changed.
//
// States, timing and log texts are those of keepalived 2.2.7, with one rule on top: two
// probes of one checker are never closer than [MinGap], and where keepalived would
// hammer a dead server without pause the gap doubles up to delay_loop.
package health
