package forwarding

// A Reason says why a frame was not forwarded. Every such frame is counted under exactly
// one Reason. The zero Reason means that it was forwarded.
type Reason uint8

// Reasons. Those up to lastPass leave the frame to the kernel, which got it as well and
// which steering keeps off only what is ours.
const (
	Forwarded Reason = iota

	PassNotIP     // EtherType is neither IPv4 nor IPv6
	PassVLAN      // tagged: belongs to a VLAN device
	PassProtocol  // neither TCP, UDP nor SCTP
	PassFragment  // a fragment of what is none of them, or neither for a virtual address nor from a server
	PassNotServed // no service and no flow of ours
	PassLocal     // a server's answer to the director itself
	// PassTunnelError is an ICMP error about an outer packet of a tunnel. It was taken note
	// of, and the client told as far as it concerns it.
	PassTunnelError
	lastPass

	DropTruncated       // shorter than its headers claim
	DropIPHeader        // version, length or checksum of the IP header is wrong
	DropTransport       // TCP, UDP or SCTP header is malformed
	DropOffload         // the unfinished checksum is of a packet inside this one, or several SCTP packets are in one frame
	DropLoop            // another director that is a server here, and has this one as its server, sent it
	DropMartian         // a source address that no remote host can have
	DropTTL             // time to live or hop limit ran out here
	DropNoFlow          // TCP segment to a service, without SYN and without a flow; so of SCTP without INIT; all from FTP's data port
	DropNoServer        // the scheduler found no available server
	DropServerGone      // the flow's server has been removed
	DropTableFull       // no room for another flow
	DropPoolUsedUp      // no local end of the service's pool is free towards the server (FULLNAT)
	DropSameClient      // one client's address and port has too many flows already
	DropNoRoute         // no route to the server or client
	DropUnresolved      // the next hop's MAC is not known (yet)
	DropNoPort          // the next hop lies on an interface that is not captured
	DropNotRouter       // a server's packet to a third party while forwarding is off
	DropTooBig          // longer than the next hop takes, and not to be fragmented
	DropNoScratch       // no memory for fragments in this batch
	DropFragmentAgain   // all of the fragment was there already
	DropFragmentOverlap // fragments of one datagram contradict each other
	DropFragmentTimeout // the rest of the datagram did not come
	DropFragmentMemory  // other fragments needed the memory, or the datagram had too many
	DropICMPChecksum    // an ICMP error about a NAT flow has a wrong checksum
	DropStranger        // a server's packet of no flow, with nat_icmp_send
	DropOrphan          // a server's segment of a connection that was lost in a crash
	DropNoCallID        // a packet to a service with the persistence engine sip has no Call-ID
	DropFlood           // drop_packet: one in so many that would open a flow
	DropUnsteered       // a data connection's ports could not be kept from the host's stack in time
	DropRefused         // the kernel did not take the frame for sending: Port.Send
	reasonCount
)

var reasonNames = [reasonCount]string{
	Forwarded:           "forwarded",
	PassNotIP:           "pass_not_ip",
	PassVLAN:            "pass_vlan",
	PassProtocol:        "pass_protocol",
	PassFragment:        "pass_fragment",
	PassNotServed:       "pass_not_served",
	PassLocal:           "pass_local",
	PassTunnelError:     "pass_tunnel_error",
	lastPass:            "",
	DropTruncated:       "drop_truncated",
	DropIPHeader:        "drop_ip_header",
	DropTransport:       "drop_transport",
	DropOffload:         "drop_offload",
	DropLoop:            "drop_loop",
	DropMartian:         "drop_martian",
	DropTTL:             "drop_ttl",
	DropNoFlow:          "drop_no_flow",
	DropNoServer:        "drop_no_server",
	DropServerGone:      "drop_server_gone",
	DropTableFull:       "drop_table_full",
	DropPoolUsedUp:      "drop_pool_used_up",
	DropSameClient:      "drop_same_client",
	DropNoRoute:         "drop_no_route",
	DropUnresolved:      "drop_unresolved",
	DropNoPort:          "drop_no_port",
	DropNotRouter:       "drop_not_router",
	DropStranger:        "drop_stranger",
	DropOrphan:          "drop_orphan",
	DropFragmentAgain:   "drop_fragment_again",
	DropFragmentOverlap: "drop_fragment_overlap",
	DropFragmentTimeout: "drop_fragment_timeout",
	DropFragmentMemory:  "drop_fragment_memory",
	DropTooBig:          "drop_too_big",
	DropNoScratch:       "drop_no_scratch",
	DropICMPChecksum:    "drop_icmp_checksum",
	DropNoCallID:        "drop_no_call_id",
	DropFlood:           "drop_flood",
	DropUnsteered:       "drop_unsteered",
	DropRefused:         "drop_refused",
}

// String returns the reason's name in status and metrics, such as "drop_no_flow".
func (r Reason) String() string { return reasonNames[r] }

// Pass reports whether the frame was left to the kernel rather than dropped.
func (r Reason) Pass() bool { return r > Forwarded && r < lastPass }

// Reasons returns every reason in the order of their numbers, Forwarded first.
func Reasons() []Reason {
	all := make([]Reason, 0, reasonCount)
	for r := Forwarded; r < reasonCount; r++ {
		if r != lastPass {
			all = append(all, r)
		}
	}
	return all
}
