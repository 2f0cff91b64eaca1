// Package load makes packets and measures what becomes of them: a generator of frames for
// many flows, flat out or at a rate, and a UDP ping-pong that times each round trip.
//
// Each runs on an OS thread of its own that is pinned to a CPU and does nothing else. The
// sockets are opened in the network namespace of the calling thread and stay in it.
//
// A generator sends by AF_XDP where the kernel has it and by AF_PACKET with sendmmsg(2)
// elsewhere. It reports what it offered and how much time that took: if all of it
// arrived, the generator was the limit and not who forwarded.
package load
