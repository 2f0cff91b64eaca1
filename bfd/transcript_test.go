package bfd_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"uvs/bfd"
	"uvs/internal/mono"
)

var update = flag.Bool("update", false, "rewrite the transcripts")

// TestTranscripts plays testdata/*.txt. Lines that begin with a tab are what the machine did, the others what happened:
//
//	session tx 100ms rx 200ms idle 1s mult 3 [passive] [jitter full]
//	@TIME start | elapse | stop | config … as for session
//	@TIME recv STATE [P] [F] [D] [diag N] my N your N tx … rx … mult N
//
// TIME counts from the beginning, or is "next" for when the machine asked to be called. The machine has discriminator 1.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got != string(text) {
				t.Errorf("%s differs (go test -update rewrites it); got:\n%s", file, got)
			}
		})
	}
}

// A stage is a transcript being played.
type stage struct {
	t       *testing.T
	machine *bfd.Machine
	begin   mono.Time
	jitter  func(time.Duration) time.Duration
	out     strings.Builder
}

func play(t *testing.T, text string) string {
	st := &stage{t: t, begin: mono.Time(1000 * s)}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "\t") {
			continue
		}
		st.out.WriteString(line)
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "#":
		case words[0] == "session":
			c := st.config(words[1:])
			st.machine = bfd.NewMachine(c, 1, st.jitter)
		default:
			st.turn(words)
		}
	}
	return st.out.String()
}

// turn plays a line that begins with a time.
func (st *stage) turn(words []string) {
	now := st.machine.Next()
	if words[0] != "@next" {
		d, err := time.ParseDuration(strings.TrimPrefix(words[0], "@"))
		st.check(err)
		now = st.begin.Add(d)
	}
	var e bfd.Event
	switch words[1] {
	case "start":
		e.Kind = bfd.Started
	case "elapse":
		e.Kind = bfd.Elapsed
	case "stop":
		e.Kind = bfd.Stopped
	case "config":
		e.Kind, e.Config = bfd.Configured, st.config(words[2:])
	case "recv":
		e.Kind, e.Packet = bfd.Received, st.packet(words[2:])
	default:
		st.t.Fatalf("no event %q", words[1])
	}
	for _, effect := range st.machine.Step(now, e) {
		fmt.Fprintf(&st.out, "\t%s\n", describe(effect))
	}
	if next := st.machine.Next(); next == 0 {
		st.out.WriteString("\tnext never\n")
	} else {
		fmt.Fprintf(&st.out, "\tnext @%v\n", next.Sub(st.begin))
	}
}

func (st *stage) check(err error) {
	st.t.Helper()
	if err != nil {
		st.t.Fatal(err)
	}
}

func (st *stage) duration(word string) time.Duration {
	d, err := time.ParseDuration(word)
	st.check(err)
	return d
}

func (st *stage) number(word string) uint32 {
	n, err := strconv.ParseUint(word, 0, 32)
	st.check(err)
	return uint32(n)
}

func (st *stage) config(words []string) bfd.Config {
	c := bfd.Config{Name: "b"}
	st.jitter = func(time.Duration) time.Duration { return 0 }
	for i := 0; i < len(words); i++ {
		switch words[i] {
		case "passive":
			c.Passive = true
			continue
		case "jitter":
			st.jitter = func(d time.Duration) time.Duration { return d }
		case "tx":
			c.MinTx = st.duration(words[i+1])
		case "rx":
			c.MinRx = st.duration(words[i+1])
		case "idle":
			c.IdleTx = st.duration(words[i+1])
		case "mult":
			c.Multiplier = uint8(st.number(words[i+1]))
		default:
			st.t.Fatalf("no setting %q", words[i])
		}
		i++
	}
	return c
}

func (st *stage) packet(words []string) bfd.Packet {
	var p bfd.Packet
	for s := bfd.AdminDown; s <= bfd.Up; s++ {
		if s.String() == words[0] {
			p.State = s
		}
	}
	for i := 1; i < len(words); i++ {
		switch words[i] {
		case "P":
			p.Poll = true
			continue
		case "F":
			p.Final = true
			continue
		case "D":
			p.Demand = true
			continue
		case "diag":
			p.Diagnostic = bfd.Diagnostic(st.number(words[i+1]))
		case "my":
			p.Discriminator = st.number(words[i+1])
		case "your":
			p.YourDiscriminator = st.number(words[i+1])
		case "tx":
			p.MinTx = st.duration(words[i+1])
		case "rx":
			p.MinRx = st.duration(words[i+1])
		case "mult":
			p.Multiplier = uint8(st.number(words[i+1]))
		default:
			st.t.Fatalf("no field %q", words[i])
		}
		i++
	}
	return p
}

// describe writes an effect as a transcript has it.
func describe(e bfd.Effect) string {
	switch e.Kind {
	case bfd.Send:
		return "send " + describePacket(e.Packet)
	case bfd.Changed:
		return strings.TrimSpace(fmt.Sprintf("%v -> %v %s", e.From, e.To, e.Message))
	case bfd.Note:
		return "note " + e.Message
	case bfd.Dropped:
		return "drop: " + e.Reason.String()
	}
	return "unknown effect"
}

func describePacket(p bfd.Packet) string {
	var b strings.Builder
	b.WriteString(p.State.String())
	for _, f := range []struct {
		set  bool
		word string
	}{{p.Poll, " P"}, {p.Final, " F"}, {p.Demand, " D"}} {
		if f.set {
			b.WriteString(f.word)
		}
	}
	if p.Diagnostic != 0 {
		fmt.Fprintf(&b, " diag %d", p.Diagnostic)
	}
	fmt.Fprintf(&b, " my %d your %d tx %v rx %v mult %d", p.Discriminator, p.YourDiscriminator, p.MinTx, p.MinRx, p.Multiplier)
	return b.String()
}
