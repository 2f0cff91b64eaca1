package bfd

// A Drop says why a received packet is not used. Each reason is counted by whoever receives.
type Drop uint8

// The reasons. Parse gives those up to DropPollFinal, a Machine gives DropAdminDown, and the others are for whoever
// finds the session of a packet.
const (
	// Accepted: the packet is used.
	Accepted Drop = iota
	// DropShort: fewer bytes than a control packet has.
	DropShort
	// DropVersion: not version 1.
	DropVersion
	// DropLength: the length field is too small, or more than was received.
	DropLength
	// DropMultiplier: the detection multiplier is 0.
	DropMultiplier
	// DropMultipoint: the multipoint bit is set.
	DropMultipoint
	// DropDiscriminator: the sender's discriminator is 0.
	DropDiscriminator
	// DropYourDiscriminator: the receiver's discriminator is 0 though the state is Init or Up.
	DropYourDiscriminator
	// DropAuthentication: the packet is authenticated, which is not served.
	DropAuthentication
	// DropPollFinal: both Poll and Final are set.
	DropPollFinal
	// DropNoSession: no session has the receiver's discriminator, or the sender's address.
	DropNoSession
	// DropAddress: the session of the receiver's discriminator has another peer.
	DropAddress
	// DropTTL: the TTL or hop limit shows more hops than the session allows (RFC 5082).
	DropTTL
	// DropNoTTL: the kernel did not say which TTL the packet had, and the session checks it.
	DropNoTTL
	// DropAdminDown: the session is administratively down.
	DropAdminDown

	// Drops is how many reasons there are, Accepted included.
	Drops = int(DropAdminDown) + 1
)

// String returns the reason as a lower-case phrase that completes "packet dropped: ".
func (d Drop) String() string {
	switch d {
	case Accepted:
		return "accepted"
	case DropShort:
		return "shorter than a BFD packet"
	case DropVersion:
		return "BFD version is not 1"
	case DropLength:
		return "length field does not fit"
	case DropMultiplier:
		return "detection multiplier is 0"
	case DropMultipoint:
		return "multipoint bit is set"
	case DropDiscriminator:
		return "my discriminator is 0"
	case DropYourDiscriminator:
		return "your discriminator is 0 in state Init or Up"
	case DropAuthentication:
		return "authentication is not supported"
	case DropPollFinal:
		return "poll and final bit are both set"
	case DropNoSession:
		return "no session for it"
	case DropAddress:
		return "not from the session's neighbor"
	case DropTTL:
		return "TTL is too low"
	case DropNoTTL:
		return "TTL is not known"
	case DropAdminDown:
		return "session is in AdminDown state"
	}
	return "unknown"
}
