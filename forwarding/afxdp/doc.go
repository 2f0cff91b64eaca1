// Package afxdp sends and receives frames through AF_XDP sockets
// (Documentation/networking/af_xdp.rst).
//
// A Queue is one of an interface's queues. Its Senders send what another port would by sendmmsg.
// For that alone no XDP program is attached, so that the device keeps its offloads and receives
// as before; a Port has another port for what comes in, and for what AF_XDP cannot describe:
// frames of several segments.
//
// A frame is copied into memory that the kernel knows (the UMEM) and its place is written
// into a ring; one system call has the kernel make and send as many frames as there are.
// What is sent this way passes no queueing discipline, no egress hook of tc or netfilter and
// no packet tap.
//
// A queue can have a Receiver as well: what an XDP program at the interface redirects to the
// queue's socket comes in there, and nowhere else. Who attaches the program says which frames
// that is (internal/steer's Diverter); all others go on to the stack, and come by another port.
// The kernel copies frames in both directions.
package afxdp
