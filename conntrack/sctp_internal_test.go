package conntrack

import (
	"strings"
	"testing"
)

// kernelSCTPTable is sctp_states of ip_vs_proto_sctp.c: direction, chunk, and the next state
// for each present one.
const kernelSCTPTable = `
                    NO I1 IN CS CR CW CO CE ES SS SR SA RJ CL
input      data     ES I1 IN CS CR CW CO CE ES SS SR SA RJ CL
input      init     I1 IN IN CS CR CW CO CE ES SS SR SA IN IN
input      init-ack CW CW CW CS CR CO CO CE ES SS SR SA RJ CL
input      echo     CR IN IN CR CR CW CO CE ES SS SR SA RJ CL
input      cookie   ES I1 IN CS CR CW CO ES ES SS SR SA RJ CL
input      shut     SR I1 IN CS CR CW CO CE SR SS SR SA RJ CL
input      shut-ack CL IN IN CS CR CW CO CE ES CL SR CL RJ CL
input      complete CL CL CL CS CR CW CO CE ES SS SR CL RJ CL
input      error    CL I1 IN CS CR CW CO CL ES SS SR SA RJ CL
input      abort    CL CL CL CL CL RJ CL CL CL CL CL CL CL CL
output     data     ES I1 IN CS CR CW CO CE ES SS SR SA RJ CL
output     init     CW CW CW CW CW CW CW CW ES CW CW CW CW CW
output     init-ack CS CS CS CS CR CW CO CE ES SS SR SA RJ CL
output     echo     CE CE CE CE CE CE CE CE ES SS SR SA RJ CL
output     cookie   ES ES ES ES ES ES ES ES ES SS SR SA RJ CL
output     shut     SS SS SS SS SS SS SS SS SS SS SR SA RJ CL
output     shut-ack SA SA SA SA SA CW CO CE ES SA SA SA RJ CL
output     complete CL I1 IN CS CR CW CO CE ES SS SR SA RJ CL
output     error    CL CL CL CL CL CW CO CE ES SS SR SA RJ CL
output     abort    CL RJ CL CL CL CL CL CL CL CL CL CL CL CL
input-only data     ES I1 IN CS CR ES CO CE ES SS SR SA RJ CL
input-only init     I1 IN IN IN IN IN CO CE ES SS SR SA IN IN
input-only init-ack CE CE CE CE CE CE CO CE ES SS SR SA RJ CL
input-only echo     ES ES ES ES ES ES CO CE ES SS SR SA RJ CL
input-only cookie   ES I1 IN ES ES CW ES ES ES SS SR SA RJ CL
input-only shut     SR I1 IN CS CR CW CO CE SR SS SR SA RJ CL
input-only shut-ack CL IN IN CS CR CW CO CE CL CL SR CL RJ CL
input-only complete CL CL CL CL CL CW CO CE ES SS CL CL RJ CL
input-only error    CL I1 IN CS CR CW CO CE ES SS SR SA RJ CL
input-only abort    CL CL CL CL CL RJ CL CL CL CL CL CL CL CL
`

func TestNextSCTPFollowsTheKernelsTable(t *testing.T) {
	states := map[string]State{
		"NO": None, "I1": SCTPInit1, "IN": SCTPInit, "CS": SCTPCookieSent, "CR": SCTPCookieReplied, "CW": SCTPCookieWait,
		"CO": SCTPCookie, "CE": SCTPCookieEchoed, "ES": SCTPEstablished, "SS": SCTPShutdownSent, "SR": SCTPShutdownReceived,
		"SA": SCTPShutdownAckSent, "RJ": SCTPRejected, "CL": SCTPClosed,
	}
	chunks := map[string][]Signal{
		"data": {ChunkData, 3, 4, 5, 12, 13, 15, 0x80, 0xc0, 0xff}, // SACK, HEARTBEAT, its ACK, ECNE, CWR and unknown ones
		"init": {ChunkInit}, "init-ack": {ChunkInitAck}, "echo": {ChunkCookieEcho}, "cookie": {ChunkCookieAck},
		"shut": {ChunkShutdown}, "shut-ack": {ChunkShutdownAck}, "complete": {ChunkShutdownComplete},
		"error": {ChunkError}, "abort": {ChunkAbort},
	}
	lines := strings.Split(strings.TrimSpace(kernelSCTPTable), "\n")
	columns := strings.Fields(lines[0])
	cells := 0
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		direction, chunk, next := fields[0], fields[1], fields[2:]
		for i, column := range columns {
			for _, seg := range chunks[chunk] {
				dir, before, after := Original, Masq, Masq
				switch direction {
				case "output":
					dir, before = Reply, Route|FlagNoOutput
					after = Route
				case "input-only":
					before, after = Route|FlagNoOutput, Route|FlagNoOutput
				}
				got, flags := nextSCTP(states[column], before, dir, seg)
				if want := states[next[i]]; got != want || flags != after {
					t.Errorf("%s %s (%d) in %v: got %v, flags %#x, want %v, flags %#x",
						direction, chunk, seg, states[column], got, flags, want, after)
				}
			}
			cells++
		}
	}
	if cells != 3*10*14 {
		t.Fatalf("%d cells, want 420", cells)
	}
}

func TestSCTPStatesHaveTheKernelsNumbersAndNames(t *testing.T) {
	names := strings.Fields("NONE INIT1 INIT C-SENT C-REPLIED C-WAIT COOKIE C-ECHOED ESTABLISHED S-SENT S-RECEIVED S-ACK-SENT REJECTED CLOSED")
	seconds := []int{2, 4, 61, 61, 61, 61, 61, 61, 900, 61, 61, 61, 4, 61}
	timeouts := DefaultTimeouts()
	for number, name := range names {
		s := None
		if number > 0 {
			s = UDP + State(number)
		}
		if s.String() != name || s.Active() != (name == "ESTABLISHED") || int(timeouts[s].Seconds()) != seconds[number] {
			t.Errorf("state %d: %v, active %v, %v, want %v, %d s", number, s, s.Active(), timeouts[s], name, seconds[number])
		}
	}
	if SCTPClosed != UDP+State(len(names)-1) || Assured.String() != "ASSURED" {
		t.Errorf("CLOSED is state %d, ASSURED is %v", SCTPClosed, Assured)
	}
}
