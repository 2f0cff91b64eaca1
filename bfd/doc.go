// Package bfd is Bidirectional Forwarding Detection in asynchronous mode: RFC 5880, over UDP as in RFC 5881 (one hop)
// and RFC 5883 (several hops).
//
// A [Packet] is one control packet; [Parse] reads it or says by a [Drop] why not. A [Machine] is one session. It is
// pure: no clock, socket or goroutine. Its owner tells it by [Machine.Step] what happened, does the effects that come
// back, and calls again when [Machine.Next] says so. Package session does that on real sockets.
//
// What is sent is what keepalived 2.2.7 sends for the same configuration, and log lines are in its words. Known
// differences, none of which breaks an RFC:
//
//   - A change of state is told at once (RFC 5880, Section 6.8.7: SHOULD); keepalived waits for its next periodic
//     packet, up to a second.
//   - A session that ends says Down, with the diagnostic Administratively Down; keepalived falls silent and its peer
//     waits for the detection time. AdminDown itself would be no news: keepalived tells nobody of it.
//   - A session keeps its discriminator as long as it exists; keepalived draws a new one when it goes down.
//   - A poll sequence goes on until it is answered. keepalived starts one when it comes up, and forgets it if the
//     peer's poll came with the same packet.
//   - The interval of a multiplier of 1 is cut to 90 % at most, as it must be; others to 100 %.
//
// Authentication, demand mode of our own and the echo function are not served: packets with authentication are
// dropped, and a peer's demand mode is respected.
package bfd
