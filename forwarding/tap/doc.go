// Package tap has ports that lead into the host's own stack. A frame that is sent by one is
// received by the stack as if a device had brought it; what the stack routes to that device is
// received from the port. Frames are what AF_PACKET hands over, virtio_net_hdr included, so
// that merged segments and unfinished checksums pass in either direction as they are.
//
// The device is a TAP device of ours (Documentation/networking/tuntap.rst) with a queue for each
// worker. It lives as long as one of them is open, so that nothing of it outlives a crash. Its
// hardware type is none that anybody knows (ARPHRD_VOID): the kernel makes it no addresses and
// asks for no neighbours there, and whoever looks for Ethernet devices passes it over.
package tap
