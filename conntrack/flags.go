package conntrack

// Flags are a flow's properties, with the kernel's values (IP_VS_CONN_F_*,
// include/uapi/linux/ip_vs.h), so that lists and sync messages can be compared. The
// lowest three bits are the forwarding method.
type Flags uint16

// Forwarding methods: the value of Flags & FlagMethod.
const (
	Masq   Flags = 0 // address and port of the server are written into the packet (NAT)
	Local  Flags = 1 // the server is this host
	Tunnel Flags = 2 // the packet is sent inside another one
	Route  Flags = 3 // direct routing: only the link-layer destination changes
)

const (
	// FlagMethod masks the forwarding method.
	FlagMethod Flags = 0x7
	// FlagNoOutput says that no reply has been seen: set at creation unless the method
	// is Masq. TCP then follows the INPUT_ONLY table; the first reply clears it.
	FlagNoOutput Flags = 0x80
	// FlagInactive says that the flow counts in its server's InActConn. The table keeps it.
	FlagInactive Flags = 0x100
	// FlagOutSeq says that the sequence numbers of replies are changed on their way: see [Helper].
	FlagOutSeq Flags = 0x200
	// FlagInSeq says the same of the client's segments.
	FlagInSeq Flags = 0x400
	// FlagNoClientPort marks a flow that waits for a client of whatever port; its own client
	// port is 0 (IP_VS_CONN_F_NO_CPORT).
	FlagNoClientPort Flags = 0x800
	// FlagTemplate marks a persistence template. The table keeps it.
	FlagTemplate Flags = 0x1000
	// FlagOnePacket marks a flow of one packet, see [Table.Once], and the template of such flows,
	// which nothing can prove right.
	FlagOnePacket Flags = 0x2000
	// FlagHelped marks a flow that may have a [Helper]. The kernel has no such flag: there a
	// flow points to its application.
	FlagHelped Flags = 0x4000
	// FlagData marks a flow whose ends are not those of its service and server:
	// Config.ReleasedData is told when it goes. It is ours alone.
	FlagData Flags = 0x8000
)

// Method returns the forwarding method.
func (f Flags) Method() Flags { return f & FlagMethod }
