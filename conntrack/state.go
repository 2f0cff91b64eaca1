package conntrack

// State is a flow's protocol state. TCP's have the kernel's numbers (IP_VS_TCP_S_*,
// include/net/ip_vs.h).
type State uint8

// The states in the kernel's order.
const (
	None State = iota
	Established
	SynSent
	SynRecv
	FinWait
	TimeWait
	Close
	CloseWait
	LastAck
	Listen
	SynAck
	// UDP is the only state of a UDP flow.
	UDP

	// SCTP's in the kernel's order behind NONE, which is None here as well (IP_VS_SCTP_S_*): the
	// kernel's number is the distance from UDP.
	SCTPInit1
	SCTPInit
	SCTPCookieSent
	SCTPCookieReplied
	SCTPCookieWait
	SCTPCookie
	SCTPCookieEchoed
	SCTPEstablished
	SCTPShutdownSent
	SCTPShutdownReceived
	SCTPShutdownAckSent
	SCTPRejected
	SCTPClosed

	// Assured is how a persistence template is listed that a connection proved right
	// (IP_VS_CTPL_S_ASSURED); until then it is listed as None. No flow is in that state.
	Assured

	numTCP    = int(SynAck) + 1
	numSCTP   = int(SCTPClosed-UDP) + 1
	numStates = int(SCTPClosed) + 1
)

var stateNames = [numStates + 1]string{
	"NONE", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT", "TIME_WAIT",
	"CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "SYNACK", "UDP",
	"INIT1", "INIT", "C-SENT", "C-REPLIED", "C-WAIT", "COOKIE", "C-ECHOED", "ESTABLISHED",
	"S-SENT", "S-RECEIVED", "S-ACK-SENT", "REJECTED", "CLOSED", "ASSURED",
}

// String returns the name that ipvsadm prints.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "ERR!"
}

// activeStates has a bit for each state that counts in ActiveConn (tcp_state_active_table,
// set_sctp_state).
const activeStates = 1<<Established | 1<<SynSent | 1<<SynRecv | 1<<SynAck | 1<<SCTPEstablished

// Active reports whether a flow in this state counts in its server's ActiveConn; all
// others count in InActConn.
func (s State) Active() bool { return activeStates>>s&1 != 0 }

// A Signal is what of a packet moves the state of its flow: of a TCP segment byte 13 of its
// header, of an SCTP packet the type of the chunk that decides. Other protocols have none.
type Signal uint8

// The flags of TCP that move a flow's state (RFC 9293, Section 3.1).
const (
	FIN Signal = 0x01
	SYN Signal = 0x02
	RST Signal = 0x04
	ACK Signal = 0x10
)

// row returns the row of the state table that decides: RST before SYN before FIN before
// ACK (tcp_state_idx). A segment with none of them has no row.
func (f Signal) row() (int, bool) {
	switch {
	case f&RST != 0:
		return 3, true
	case f&SYN != 0:
		return 0, true
	case f&FIN != 0:
		return 1, true
	case f&ACK != 0:
		return 2, true
	}
	return 0, false
}

// The state tables: input for the client's segments, output for the server's, inputOnly
// for the client's while no reply was ever seen.
const (
	input = iota
	output
	inputOnly
)

// Short names keep the tables below readable; they are the columns' heads as well.
const (
	sNO = None
	sES = Established
	sSS = SynSent
	sSR = SynRecv
	sFW = FinWait
	sTW = TimeWait
	sCL = Close
	sCW = CloseWait
	sLA = LastAck
	sLI = Listen
	sSA = SynAck
)

// A tcpTable is a state table of TCP: direction, flag (row), present state.
type tcpTable [3][4][numTCP]State

// tcpNext is tcp_states of ip_vs_proto_tcp.c.
var tcpNext = tcpTable{
	input: {
		/*        NO   ES   SS   SR   FW   TW   CL   CW   LA   LI   SA */
		/*syn*/ {sSR, sES, sES, sSR, sSR, sSR, sSR, sSR, sSR, sSR, sSR},
		/*fin*/ {sCL, sCW, sSS, sTW, sTW, sTW, sCL, sCW, sLA, sLI, sTW},
		/*ack*/ {sES, sES, sSS, sES, sFW, sTW, sCL, sCW, sCL, sLI, sES},
		/*rst*/ {sCL, sCL, sCL, sSR, sCL, sCL, sCL, sCL, sLA, sLI, sSR},
	},
	output: {
		/*syn*/ {sSS, sES, sSS, sSR, sSS, sSS, sSS, sSS, sSS, sLI, sSR},
		/*fin*/ {sTW, sFW, sSS, sTW, sFW, sTW, sCL, sTW, sLA, sLI, sTW},
		/*ack*/ {sES, sES, sSS, sES, sFW, sTW, sCL, sCW, sLA, sES, sES},
		/*rst*/ {sCL, sCL, sSS, sCL, sCL, sTW, sCL, sCL, sCL, sCL, sCL},
	},
	inputOnly: {
		/*syn*/ {sSR, sES, sES, sSR, sSR, sSR, sSR, sSR, sSR, sSR, sSR},
		/*fin*/ {sCL, sFW, sSS, sTW, sFW, sTW, sCL, sCW, sLA, sLI, sTW},
		/*ack*/ {sES, sES, sSS, sES, sFW, sTW, sCL, sCW, sCL, sLI, sES},
		/*rst*/ {sCL, sCL, sCL, sSR, sCL, sCL, sCL, sCL, sLA, sLI, sCL},
	},
}

// secureTCPNext is tcp_states_dos of the same file, in force while secure_tcp is: a client's
// ACK alone does not establish what the server has not answered.
var secureTCPNext = tcpTable{
	input: {
		/*        NO   ES   SS   SR   FW   TW   CL   CW   LA   LI   SA */
		/*syn*/ {sSR, sES, sES, sSR, sSR, sSR, sSR, sSR, sSR, sSR, sSA},
		/*fin*/ {sCL, sCW, sSS, sTW, sTW, sTW, sCL, sCW, sLA, sLI, sSA},
		/*ack*/ {sES, sES, sSS, sSR, sFW, sTW, sCL, sCW, sCL, sLI, sSA},
		/*rst*/ {sCL, sCL, sCL, sSR, sCL, sCL, sCL, sCL, sLA, sLI, sCL},
	},
	output: {
		/*syn*/ {sSS, sES, sSS, sSA, sSS, sSS, sSS, sSS, sSS, sLI, sSA},
		/*fin*/ {sTW, sFW, sSS, sTW, sFW, sTW, sCL, sTW, sLA, sLI, sTW},
		/*ack*/ {sES, sES, sSS, sES, sFW, sTW, sCL, sCW, sLA, sES, sES},
		/*rst*/ {sCL, sCL, sSS, sCL, sCL, sTW, sCL, sCL, sCL, sCL, sCL},
	},
	inputOnly: {
		/*syn*/ {sSA, sES, sES, sSR, sSA, sSA, sSA, sSA, sSA, sSA, sSA},
		/*fin*/ {sCL, sFW, sSS, sTW, sFW, sTW, sCL, sCW, sLA, sLI, sTW},
		/*ack*/ {sES, sES, sSS, sES, sFW, sTW, sCL, sCW, sCL, sLI, sES},
		/*rst*/ {sCL, sCL, sCL, sSR, sCL, sCL, sCL, sCL, sLA, sLI, sCL},
	},
}

// nextTCP returns the state after a segment with flags in direction d by the usual table or
// the secure one, and the flow's flags, from which the first reply takes FlagNoOutput (set_tcp_state).
func nextTCP(secure bool, s State, fl Flags, d Dir, seg Signal) (State, Flags) {
	table := input
	switch {
	case d == Reply:
		table = output
		fl &^= FlagNoOutput
	case fl&FlagNoOutput != 0:
		table = inputOnly
	}
	row, ok := seg.row()
	if !ok {
		return Close, fl
	}
	if secure {
		return secureTCPNext[table][row][s], fl
	}
	return tcpNext[table][row][s], fl
}
