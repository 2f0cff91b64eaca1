// Package afpacket captures and sends frames through AF_PACKET sockets (packet(7)).
//
// Receiving is a TPACKET_V2 ring per worker and interface, with PACKET_VNET_HDR, so that
// segmentation and checksum offloads stay on: the kernel hands over frames of up to 64 KiB
// with partial checksums and takes them back the same way. Frames of several segments do not
// fit the ring's slots; they come by recvmmsg. Sending is sendmmsg out of the memory that
// received. The workers' sockets of one interface form a fanout group, in
// which a classic BPF program sends both directions of a flow to the same worker.
package afpacket
