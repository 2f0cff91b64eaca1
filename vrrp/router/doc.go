// Package router runs a [vrrp.Machine]: it owns its sockets and its timers.
//
// One thread does nothing else. It sleeps in one ppoll over all sockets until the Machine's
// next deadline, hands what arrives to the Machine, and sends adverts itself. All other
// effects (addresses, announcements, scripts, logs) go in order to a callback on a goroutine
// of its own, which may take its time: no netlink burst, script, reload or check ever stands
// between a deadline and its advert. Sockets are opened on a goroutine of their own, too, as
// joining a group waits for the kernel's lock of the network configuration.
//
// Packets that have arrived are heard before timers are looked at, so that a thread that was
// held up does not take a living master for dead.
package router
