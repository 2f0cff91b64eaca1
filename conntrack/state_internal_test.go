package conntrack

import (
	"strings"
	"testing"
)

// kernelTable is tcp_states of ip_vs_proto_tcp.c: direction, flag, and the next state for
// each present one.
const kernelTable = `
                 NO ES SS SR FW TW CL CW LA LI SA
input      syn   SR ES ES SR SR SR SR SR SR SR SR
input      fin   CL CW SS TW TW TW CL CW LA LI TW
input      ack   ES ES SS ES FW TW CL CW CL LI ES
input      rst   CL CL CL SR CL CL CL CL LA LI SR
output     syn   SS ES SS SR SS SS SS SS SS LI SR
output     fin   TW FW SS TW FW TW CL TW LA LI TW
output     ack   ES ES SS ES FW TW CL CW LA ES ES
output     rst   CL CL SS CL CL TW CL CL CL CL CL
input-only syn   SR ES ES SR SR SR SR SR SR SR SR
input-only fin   CL FW SS TW FW TW CL CW LA LI TW
input-only ack   ES ES SS ES FW TW CL CW CL LI ES
input-only rst   CL CL CL SR CL CL CL CL LA LI CL
`

// secureTable is tcp_states_dos.
const secureTable = `
                 NO ES SS SR FW TW CL CW LA LI SA
input      syn   SR ES ES SR SR SR SR SR SR SR SA
input      fin   CL CW SS TW TW TW CL CW LA LI SA
input      ack   ES ES SS SR FW TW CL CW CL LI SA
input      rst   CL CL CL SR CL CL CL CL LA LI CL
output     syn   SS ES SS SA SS SS SS SS SS LI SA
output     fin   TW FW SS TW FW TW CL TW LA LI TW
output     ack   ES ES SS ES FW TW CL CW LA ES ES
output     rst   CL CL SS CL CL TW CL CL CL CL CL
input-only syn   SA ES ES SR SA SA SA SA SA SA SA
input-only fin   CL FW SS TW FW TW CL CW LA LI TW
input-only ack   ES ES SS ES FW TW CL CW CL LI ES
input-only rst   CL CL CL SR CL CL CL CL LA LI CL
`

func TestNextTCPFollowsTheKernelsTables(t *testing.T) {
	t.Run("usual", func(t *testing.T) { testTable(t, false, kernelTable) })
	t.Run("secure", func(t *testing.T) { testTable(t, true, secureTable) })
}

func testTable(t *testing.T, secure bool, kernel string) {
	t.Helper()
	states := map[string]State{
		"NO": None, "ES": Established, "SS": SynSent, "SR": SynRecv, "FW": FinWait, "TW": TimeWait,
		"CL": Close, "CW": CloseWait, "LA": LastAck, "LI": Listen, "SA": SynAck,
	}
	// A flag decides whatever weaker ones stand beside it.
	segments := map[string][]Signal{
		"rst": {RST, RST | ACK, RST | SYN | FIN | ACK},
		"syn": {SYN, SYN | ACK, SYN | FIN, SYN | FIN | ACK | 0xe8},
		"fin": {FIN, FIN | ACK, FIN | ACK | 0x08},
		"ack": {ACK, ACK | 0x08, ACK | 0xe8},
	}
	lines := strings.Split(strings.TrimSpace(kernel), "\n")
	columns := strings.Fields(lines[0])
	cells := 0
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		direction, flag, next := fields[0], fields[1], fields[2:]
		for i, column := range columns {
			for _, seg := range segments[flag] {
				dir, before, after := Original, Masq, Masq
				switch direction {
				case "output":
					dir = Reply
				case "input-only":
					before, after = Route|FlagNoOutput, Route|FlagNoOutput
				}
				got, flags := nextTCP(secure, states[column], before, dir, seg)
				if want := states[next[i]]; got != want || flags != after {
					t.Errorf("%s %s (%#02x) in %v: got %v, flags %#x, want %v, flags %#x",
						direction, flag, seg, states[column], got, flags, want, after)
				}
			}
			cells++
		}
	}
	if cells != 3*4*11 {
		t.Fatalf("%d cells, want 132", cells)
	}
}

func TestNextTCPWithoutAFlagCloses(t *testing.T) {
	for s := None; s <= SynAck; s++ {
		for _, seg := range []Signal{0, 0x08, 0xe8} {
			if got, _ := nextTCP(false, s, Masq, Original, seg); got != Close {
				t.Errorf("flags %#02x in %v: got %v, want CLOSE", seg, s, got)
			}
		}
	}
}

func TestFirstReplyEndsInputOnly(t *testing.T) {
	s, flags := nextTCP(false, SynRecv, Route|FlagNoOutput, Reply, SYN|ACK)
	if s != SynRecv || flags != Route {
		t.Fatalf("after the reply: %v, flags %#x", s, flags)
	}
	// From here on a FIN of the client is CLOSE_WAIT, not FIN_WAIT.
	if s, _ = nextTCP(false, Established, flags, Original, FIN|ACK); s != CloseWait {
		t.Errorf("client's FIN: got %v, want CLOSE_WAIT", s)
	}
}

func TestStateNamesAndActivity(t *testing.T) {
	for s, want := range map[State]struct {
		name   string
		active bool
	}{
		None: {"NONE", false}, Established: {"ESTABLISHED", true}, SynSent: {"SYN_SENT", true},
		SynRecv: {"SYN_RECV", true}, FinWait: {"FIN_WAIT", false}, TimeWait: {"TIME_WAIT", false},
		Close: {"CLOSE", false}, CloseWait: {"CLOSE_WAIT", false}, LastAck: {"LAST_ACK", false},
		Listen: {"LISTEN", false}, SynAck: {"SYNACK", true}, UDP: {"UDP", false},
	} {
		if s.String() != want.name || s.Active() != want.active {
			t.Errorf("state %d: %v, active %v, want %v, %v", s, s, s.Active(), want.name, want.active)
		}
	}
}
