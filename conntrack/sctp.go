package conntrack

// Types of chunks that move an association's state (RFC 9260, Section 3.2). All others,
// unknown ones too, count as DATA.
const (
	ChunkData             Signal = 0
	ChunkInit             Signal = 1
	ChunkInitAck          Signal = 2
	ChunkAbort            Signal = 6
	ChunkShutdown         Signal = 7
	ChunkShutdownAck      Signal = 8
	ChunkError            Signal = 9
	ChunkCookieEcho       Signal = 10
	ChunkCookieAck        Signal = 11
	ChunkShutdownComplete Signal = 14
)

// established reports whether both ends of a connection have agreed to it.
func (s State) established() bool { return s == Established || s == SCTPEstablished }

// sctpRow returns the row of the state table for a chunk (sctp_events).
func (f Signal) sctpRow() int {
	switch f {
	case ChunkInit:
		return 1
	case ChunkInitAck:
		return 2
	case ChunkCookieEcho:
		return 3
	case ChunkCookieAck:
		return 4
	case ChunkShutdown:
		return 5
	case ChunkShutdownAck:
		return 6
	case ChunkShutdownComplete:
		return 7
	case ChunkError:
		return 8
	case ChunkAbort:
		return 9
	}
	return 0
}

// nextSCTP returns the state after a packet with a chunk in direction d, and the flow's flags,
// from which the first reply takes FlagNoOutput (set_sctp_state). The states are as the
// server sees them.
func nextSCTP(s State, fl Flags, d Dir, chunk Signal) (State, Flags) {
	table := input
	switch {
	case d == Reply:
		table = output
		fl &^= FlagNoOutput
	case fl&FlagNoOutput != 0:
		table = inputOnly
	}
	column := 0 // of None
	if s > UDP {
		column = int(s - UDP)
	}
	return sctpNext[table][chunk.sctpRow()][column], fl
}

// Short names keep the table below readable; they are the columns' heads as well.
const (
	zNO = None
	zI1 = SCTPInit1
	zIN = SCTPInit
	zCS = SCTPCookieSent
	zCR = SCTPCookieReplied
	zCW = SCTPCookieWait
	zCO = SCTPCookie
	zCE = SCTPCookieEchoed
	zES = SCTPEstablished
	zSS = SCTPShutdownSent
	zSR = SCTPShutdownReceived
	zSA = SCTPShutdownAckSent
	zRJ = SCTPRejected
	zCL = SCTPClosed
)

// sctpNext is sctp_states of ip_vs_proto_sctp.c: table, chunk (row), present state. In the rows
// of the heads, d stands for DATA, i for INIT, c for COOKIE, s for SHUTDOWN, a for ACK.
var sctpNext = [3][10][numSCTP]State{
	input: {
		/*        NO   I1   IN   CS   CR   CW   CO   CE   ES   SS   SR   SA   RJ   CL */
		/*d   */ {zES, zI1, zIN, zCS, zCR, zCW, zCO, zCE, zES, zSS, zSR, zSA, zRJ, zCL},
		/*i   */ {zI1, zIN, zIN, zCS, zCR, zCW, zCO, zCE, zES, zSS, zSR, zSA, zIN, zIN},
		/*i a */ {zCW, zCW, zCW, zCS, zCR, zCO, zCO, zCE, zES, zSS, zSR, zSA, zRJ, zCL},
		/*c e */ {zCR, zIN, zIN, zCR, zCR, zCW, zCO, zCE, zES, zSS, zSR, zSA, zRJ, zCL},
		/*c a */ {zES, zI1, zIN, zCS, zCR, zCW, zCO, zES, zES, zSS, zSR, zSA, zRJ, zCL},
		/*s   */ {zSR, zI1, zIN, zCS, zCR, zCW, zCO, zCE, zSR, zSS, zSR, zSA, zRJ, zCL},
		/*s a */ {zCL, zIN, zIN, zCS, zCR, zCW, zCO, zCE, zES, zCL, zSR, zCL, zRJ, zCL},
		/*s c */ {zCL, zCL, zCL, zCS, zCR, zCW, zCO, zCE, zES, zSS, zSR, zCL, zRJ, zCL},
		/*err */ {zCL, zI1, zIN, zCS, zCR, zCW, zCO, zCL, zES, zSS, zSR, zSA, zRJ, zCL},
		/*ab  */ {zCL, zCL, zCL, zCL, zCL, zRJ, zCL, zCL, zCL, zCL, zCL, zCL, zCL, zCL},
	},
	output: {
		/*d   */ {zES, zI1, zIN, zCS, zCR, zCW, zCO, zCE, zES, zSS, zSR, zSA, zRJ, zCL},
		/*i   */ {zCW, zCW, zCW, zCW, zCW, zCW, zCW, zCW, zES, zCW, zCW, zCW, zCW, zCW},
		/*i a */ {zCS, zCS, zCS, zCS, zCR, zCW, zCO, zCE, zES, zSS, zSR, zSA, zRJ, zCL},
		/*c e */ {zCE, zCE, zCE, zCE, zCE, zCE, zCE, zCE, zES, zSS, zSR, zSA, zRJ, zCL},
		/*c a */ {zES, zES, zES, zES, zES, zES, zES, zES, zES, zSS, zSR, zSA, zRJ, zCL},
		/*s   */ {zSS, zSS, zSS, zSS, zSS, zSS, zSS, zSS, zSS, zSS, zSR, zSA, zRJ, zCL},
		/*s a */ {zSA, zSA, zSA, zSA, zSA, zCW, zCO, zCE, zES, zSA, zSA, zSA, zRJ, zCL},
		/*s c */ {zCL, zI1, zIN, zCS, zCR, zCW, zCO, zCE, zES, zSS, zSR, zSA, zRJ, zCL},
		/*err */ {zCL, zCL, zCL, zCL, zCL, zCW, zCO, zCE, zES, zSS, zSR, zSA, zRJ, zCL},
		/*ab  */ {zCL, zRJ, zCL, zCL, zCL, zCL, zCL, zCL, zCL, zCL, zCL, zCL, zCL, zCL},
	},
	inputOnly: {
		/*d   */ {zES, zI1, zIN, zCS, zCR, zES, zCO, zCE, zES, zSS, zSR, zSA, zRJ, zCL},
		/*i   */ {zI1, zIN, zIN, zIN, zIN, zIN, zCO, zCE, zES, zSS, zSR, zSA, zIN, zIN},
		/*i a */ {zCE, zCE, zCE, zCE, zCE, zCE, zCO, zCE, zES, zSS, zSR, zSA, zRJ, zCL},
		/*c e */ {zES, zES, zES, zES, zES, zES, zCO, zCE, zES, zSS, zSR, zSA, zRJ, zCL},
		/*c a */ {zES, zI1, zIN, zES, zES, zCW, zES, zES, zES, zSS, zSR, zSA, zRJ, zCL},
		/*s   */ {zSR, zI1, zIN, zCS, zCR, zCW, zCO, zCE, zSR, zSS, zSR, zSA, zRJ, zCL},
		/*s a */ {zCL, zIN, zIN, zCS, zCR, zCW, zCO, zCE, zCL, zCL, zSR, zCL, zRJ, zCL},
		/*s c */ {zCL, zCL, zCL, zCL, zCL, zCW, zCO, zCE, zES, zSS, zCL, zCL, zRJ, zCL},
		/*err */ {zCL, zI1, zIN, zCS, zCR, zCW, zCO, zCE, zES, zSS, zSR, zSA, zRJ, zCL},
		/*ab  */ {zCL, zCL, zCL, zCL, zCL, zRJ, zCL, zCL, zCL, zCL, zCL, zCL, zCL, zCL},
	},
}
