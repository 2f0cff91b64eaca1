// Package session runs BFD sessions on the host's sockets: RFC 5881 on UDP port 3784, RFC 5883 on port 4784.
//
// A [Set] has many sessions, each a [bfd.Machine]. One thread does all that is urgent: it waits for packets and for the
// next timer in one ppoll, reads what has come, and only then looks at the clock, so that time it lost itself is not
// taken for a peer's silence. It is a thread of its own, so that it alone can be made real-time, and it never waits for
// whoever listens: events are told from another goroutine. How late its timers were is counted ([Lateness]).
//
// Sessions of one family and port share a socket to receive. Each has its own to send, from a port of its own in 49152
// to 65535. What cannot be opened is tried again each second, and told once for each cause.
package session
