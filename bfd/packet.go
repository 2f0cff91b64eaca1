package bfd

import (
	"encoding/binary"
	"time"
)

// The ports of control packets: RFC 5881, Section 4, and RFC 5883, Section 5.
const (
	PortSingleHop = 3784
	PortMultiHop  = 4784
)

// A State is the state of a session: RFC 5880, Section 4.1.
type State uint8

// The states, with their numbers on the wire.
const (
	AdminDown State = iota
	Down
	Init
	Up
)

// String returns the state as keepalived and the RFC write it.
func (s State) String() string {
	switch s {
	case AdminDown:
		return "AdminDown"
	case Down:
		return "Down"
	case Init:
		return "Init"
	case Up:
		return "Up"
	}
	return "invalid"
}

// A Diagnostic says why a session changed its state last, 0 to 31: RFC 5880, Section 4.1.
type Diagnostic uint8

// The diagnostics. A [Machine] gives NoDiagnostic, DetectionExpired, NeighborDown and AdministrativeDown; the others
// come from peers.
const (
	NoDiagnostic Diagnostic = iota
	DetectionExpired
	EchoFailed
	NeighborDown
	ForwardingReset
	PathDown
	ConcatenatedDown
	AdministrativeDown
	ReverseConcatenatedDown
)

// String returns the diagnostic in keepalived's words.
func (d Diagnostic) String() string {
	switch d {
	case NoDiagnostic:
		return "No Diagnostic"
	case DetectionExpired:
		return "Control Detection Time Expired"
	case EchoFailed:
		return "Echo Function Failed"
	case NeighborDown:
		return "Neighbor Signaled Session Down"
	case ForwardingReset:
		return "Forwarding Plane Reset"
	case PathDown:
		return "Path Down"
	case ConcatenatedDown:
		return "Concatenated Path Down"
	case AdministrativeDown:
		return "Administratively Down"
	case ReverseConcatenatedDown:
		return "Reverse Concatenated Path Down"
	}
	return "Reserved"
}

// A Packet is a control packet without authentication, RFC 5880, Section 4.1:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|Vers |  Diag   |Sta|P|F|C|A|D|M|  Detect Mult  |    Length     |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                       My Discriminator                        |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                      Your Discriminator                       |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                    Desired Min TX Interval                    |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                   Required Min RX Interval                    |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                 Required Min Echo RX Interval                 |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type Packet struct {
	State      State
	Diagnostic Diagnostic
	// Poll asks for an answer with Final.
	Poll, Final bool
	// ControlPlaneIndependent: the sender's BFD survives its control plane.
	ControlPlaneIndependent bool
	// Demand: the sender wants no periodic packets while both ends are up.
	Demand bool
	// Multiplier is how many packets may be missed, 1 to 255.
	Multiplier uint8
	// Discriminator is the sender's, not 0; YourDiscriminator is what the sender has heard from the receiver, or 0.
	Discriminator, YourDiscriminator uint32
	// MinTx, MinRx and MinEchoRx are whole microseconds up to 2³²−1. A MinRx of 0 asks for no periodic packets.
	MinTx, MinRx, MinEchoRx time.Duration
}

// PacketLen is the length of a packet without authentication, in bytes.
const PacketLen = 24

// version is the only version there is.
const version = 1

// Offsets in a packet, and what its first two bytes hold.
const (
	offDiagnostic    = 0
	offState         = 1
	offMultiplier    = 2
	offLength        = 3
	offDiscriminator = 4
	offYours         = 8
	offMinTx         = 12
	offMinRx         = 16
	offMinEchoRx     = 20

	versionShift   = 5
	diagnosticMask = 0x1f
	stateShift     = 6

	flagPoll           = 0x20
	flagFinal          = 0x10
	flagIndependent    = 0x08
	flagAuthentication = 0x04
	flagDemand         = 0x02
	flagMultipoint     = 0x01
)

// Append appends the packet in wire form, PacketLen bytes, and returns the extended slice.
func (p *Packet) Append(b []byte) []byte {
	flags := byte(p.State) << stateShift
	for _, f := range []struct {
		set bool
		bit byte
	}{{p.Poll, flagPoll}, {p.Final, flagFinal}, {p.ControlPlaneIndependent, flagIndependent}, {p.Demand, flagDemand}} {
		if f.set {
			flags |= f.bit
		}
	}
	b = append(b, version<<versionShift|byte(p.Diagnostic)&diagnosticMask, flags, p.Multiplier, PacketLen)
	b = binary.BigEndian.AppendUint32(b, p.Discriminator)
	b = binary.BigEndian.AppendUint32(b, p.YourDiscriminator)
	b = binary.BigEndian.AppendUint32(b, micros(p.MinTx))
	b = binary.BigEndian.AppendUint32(b, micros(p.MinRx))
	return binary.BigEndian.AppendUint32(b, micros(p.MinEchoRx))
}

// Parse reads the payload of a UDP datagram and checks what RFC 5880, Section 6.8.6, wants checked before a session is
// looked for. A packet with both Poll and Final set is refused too, as by keepalived (Section 6.5: a sender MUST NOT).
// Whenever the reason is not Accepted the packet is the zero Packet. Bytes beyond the packet's own length are ignored.
func Parse(b []byte) (Packet, Drop) {
	if len(b) < PacketLen {
		return Packet{}, DropShort
	}
	if drop := check(b); drop != Accepted {
		return Packet{}, drop
	}
	flags := b[offState]
	return Packet{
		State:                   State(flags >> stateShift),
		Diagnostic:              Diagnostic(b[offDiagnostic] & diagnosticMask),
		Poll:                    flags&flagPoll != 0,
		Final:                   flags&flagFinal != 0,
		ControlPlaneIndependent: flags&flagIndependent != 0,
		Demand:                  flags&flagDemand != 0,
		Multiplier:              b[offMultiplier],
		Discriminator:           binary.BigEndian.Uint32(b[offDiscriminator:]),
		YourDiscriminator:       binary.BigEndian.Uint32(b[offYours:]),
		MinTx:                   interval(b[offMinTx:]),
		MinRx:                   interval(b[offMinRx:]),
		MinEchoRx:               interval(b[offMinEchoRx:]),
	}, Accepted
}

// check goes through the rules in the RFC's order; b has at least PacketLen bytes.
func check(b []byte) Drop {
	flags, length := b[offState], int(b[offLength])
	state := State(flags >> stateShift)
	switch {
	case b[offDiagnostic]>>versionShift != version:
		return DropVersion
	case length < PacketLen || length > len(b):
		return DropLength
	case b[offMultiplier] == 0:
		return DropMultiplier
	case flags&flagMultipoint != 0:
		return DropMultipoint
	case binary.BigEndian.Uint32(b[offDiscriminator:]) == 0:
		return DropDiscriminator
	case binary.BigEndian.Uint32(b[offYours:]) == 0 && state != Down && state != AdminDown:
		return DropYourDiscriminator
	case flags&flagAuthentication != 0:
		return DropAuthentication
	case flags&flagPoll != 0 && flags&flagFinal != 0:
		return DropPollFinal
	}
	return Accepted
}

// micros returns an interval as it is written on the wire.
func micros(d time.Duration) uint32 { return uint32(d / time.Microsecond) }

func interval(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Microsecond
}
