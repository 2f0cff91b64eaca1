// Package afxdp sends frames through AF_XDP sockets (Documentation/networking/af_xdp.rst).
//
// It only sends. No XDP program is attached, so that the device keeps its offloads and
// receives as before; a Port has another port for what comes in, and for what AF_XDP
// cannot describe: frames of several segments.
//
// A frame is copied into memory that the kernel knows (the UMEM) and its place is written
// into a ring; one system call has the kernel make and send as many frames as there are.
// What is sent this way passes no queueing discipline, no egress hook of tc or netfilter and
// no packet tap.
package afxdp
