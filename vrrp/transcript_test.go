package vrrp_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"uvs/internal/mono"
	"uvs/vrrp"
)

var update = flag.Bool("update", false, "rewrite the transcripts from what the machine does")

// TestTranscripts plays testdata/transcripts/*.txt: paragraphs of commands, a line of dashes, and what
// the machine answered. Time is that since the begin. Commands:
//
//	instance NAME [key=value …]   before start: an instance, see (*player).instance
//	group NAME MEMBER… [track=…]  before start: a sync group
//	spec [startup-delay=D] [unknown=log] [hold] before start or reload
//	start, stop, release
//	wait D                        time passes; each deadline in it is served
//	freeze D                      time passes and the host notices nothing
//	tick                          it notices
//	recv NAME from=A prio=N [key=value …]
//	stray DEVICE vrid=N from=A
//	object KIND NAME up|down|N [reason]
//	source NAME ADDR|none
//	reload                        with the instances and groups given since start
//	status
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/transcripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if *update {
				if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(strings.Split(string(text), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("%s (-recorded +now); go test -update rewrites it:\n%s", name, diff)
			}
		})
	}
}

// A player plays a transcript.
type player struct {
	t       *testing.T
	spec    vrrp.Spec
	sources map[string]netip.Addr
	machine *vrrp.Machine
	begin   mono.Time
	now     mono.Time
	out     strings.Builder
}

// play returns a transcript with the answers as they are now.
func play(t *testing.T, text string) string {
	p := &player{t: t, sources: make(map[string]netip.Addr), begin: mono.Time(time.Hour), now: mono.Time(time.Hour)}
	var result strings.Builder
	for n, paragraph := range strings.Split(strings.TrimRight(text, "\n"), "\n\n") {
		if n > 0 {
			result.WriteString("\n")
		}
		commands, _, answered := strings.Cut(paragraph, "\n----\n")
		commands = strings.TrimSuffix(commands, "\n----")
		p.out.Reset()
		for line := range strings.SplitSeq(commands, "\n") {
			result.WriteString(line + "\n")
			if line != "" && !strings.HasPrefix(line, "#") {
				p.command(strings.Fields(line))
			}
		}
		if answered || p.out.Len() > 0 || strings.HasSuffix(paragraph, "\n----") {
			result.WriteString("----\n" + p.out.String())
		}
	}
	return result.String()
}

func (p *player) command(words []string) {
	p.t.Helper()
	options := make(map[string]string)
	var args []string
	for _, w := range words[1:] {
		if key, value, ok := strings.Cut(w, "="); ok {
			options[key] = value
			continue
		}
		args = append(args, w)
	}
	switch words[0] {
	case "instance":
		p.instance(args[0], options)
	case "group":
		p.spec.Groups = append(p.spec.Groups, vrrp.Group{Name: args[0], Members: args[1:], Track: p.track(options["track"])})
	case "spec":
		p.spec.StartupDelay = p.duration(options["startup-delay"], 0)
		p.spec.LogUnknownVRIDs = options["unknown"] != ""
		p.spec.HoldPreempt = len(args) > 0 && args[0] == "hold"
	case "start":
		p.machine = vrrp.New(p.spec)
		p.tellSources()
		p.spec = vrrp.Spec{}
		p.step(vrrp.Start{})
	case "reload":
		p.tellSources()
		p.print(p.machine.Reload(p.now, p.spec))
		p.spec = vrrp.Spec{}
	case "stop":
		p.step(vrrp.Stop{})
	case "release":
		p.step(vrrp.Release{})
	case "wait":
		p.wait(p.duration(args[0], 0))
	case "freeze":
		p.now = p.now.Add(p.duration(args[0], 0))
	case "tick":
		p.step(vrrp.Tick{})
	case "recv":
		p.receive(args[0], options)
	case "stray":
		p.step(vrrp.Stray{Device: args[0], VRID: uint8(p.number(options["vrid"], 0)), Source: netip.MustParseAddr(options["from"])})
	case "object":
		p.object(args)
	case "source":
		addr, _ := netip.ParseAddr(args[1])
		p.step(vrrp.SourceChanged{Instance: args[0], Addr: addr})
	case "status":
		p.status()
	default:
		p.t.Fatalf("unknown command %q", words[0])
	}
}

// tellSources tells what has to be told before Start.
func (p *player) tellSources() {
	for _, i := range p.spec.Instances {
		p.print(p.machine.Step(p.now, vrrp.SourceChanged{Instance: i.Name, Addr: p.sources[i.Name]}))
	}
}

func (p *player) instance(name string, o map[string]string) {
	i := vrrp.Instance{
		Name: name, Interface: "eth0", Version: uint8(p.number(o["version"], 2)), VRID: uint8(p.number(o["vrid"], 51)),
		Priority: uint8(p.number(o["prio"], 100)), AdvertInterval: p.duration(o["interval"], time.Second),
		DownTimerAdverts: p.number(o["adverts"], 3), NoPreempt: o["nopreempt"] != "", PreemptDelay: p.duration(o["preempt-delay"], 0),
		Addresses: p.addresses(o["vip"]), SkipAddressCheck: o["skip-check"] != "", OwnerIgnoresAdverts: o["owner-ignores"] != "",
		LowerPrioNoAdvert: o["lower-no-advert"] != "", HigherPrioSendAdvert: o["higher-send"] != "",
		TimerExpiredBackup: p.number(o["expired-backup"], 0),
		Announce: vrrp.Announce{
			Repeat: p.number(o["garp"], 5), Delay: p.duration(o["garp-delay"], 5*time.Second),
			Refresh: p.duration(o["garp-refresh"], 0), RefreshRepeat: 1,
			LowerPrioRepeat: p.number(o["garp-lower"], 5), LowerPrioDelay: p.duration(o["garp-delay"], 5*time.Second),
			Extra: p.duration(o["garp-extra"], 0),
		},
		Track:          append(p.track(o["track"]), vrrp.Tracked{Object: vrrp.Object{Kind: vrrp.KindSource, Name: name}}),
		NotifyPriority: o["notify-priority"] != "",
	}
	if o["pass"] != "" {
		i.Auth = vrrp.AuthPass
		copy(i.Password[:], o["pass"])
	}
	if o["fault"] != "" {
		i.Faults = []string{o["fault"]}
	}
	source := "10.9.0.1"
	if o["source"] != "" {
		source = o["source"]
	}
	p.sources[name], _ = netip.ParseAddr(source)
	p.spec.Instances = append(p.spec.Instances, i)
}

// track reads KIND:NAME[:WEIGHT[:reverse]],…
func (p *player) track(text string) (list []vrrp.Tracked) {
	if text == "" {
		return nil
	}
	for item := range strings.SplitSeq(text, ",") {
		parts := strings.Split(item, ":")
		t := vrrp.Tracked{Object: vrrp.Object{Kind: p.kind(parts[0]), Name: parts[1]}}
		if len(parts) > 2 {
			t.Weight = p.number(parts[2], 0)
		}
		t.Reverse = len(parts) > 3
		list = append(list, t)
	}
	return list
}

func (p *player) kind(word string) vrrp.Kind {
	p.t.Helper()
	for _, k := range []vrrp.Kind{vrrp.KindInterface, vrrp.KindScript, vrrp.KindFile, vrrp.KindProcess, vrrp.KindBFD} {
		if strings.EqualFold(k.String(), word) {
			return k
		}
	}
	p.t.Fatalf("unknown kind %q", word)
	return 0
}

func (p *player) object(args []string) {
	ev := vrrp.ObjectChanged{Object: vrrp.Object{Kind: p.kind(args[0]), Name: args[1]}, Up: args[2] == "up", Reason: strings.Join(args[3:], " ")}
	if n, err := strconv.Atoi(args[2]); err == nil {
		ev.Value = n
	}
	p.step(ev)
}

// receive lets an instance hear an advert that is like its own but for what is said.
func (p *player) receive(name string, o map[string]string) {
	from, to := netip.MustParseAddr(o["from"]), netip.MustParseAddr("224.0.0.18")
	a := vrrp.Advert{
		Version: uint8(p.number(o["version"], 2)), VRID: uint8(p.number(o["vrid"], 51)), Priority: uint8(p.number(o["prio"], 100)),
		Interval: p.duration(o["interval"], time.Second), Addresses: p.addresses(o["vip"]),
	}
	if o["pass"] != "" {
		a.Auth = vrrp.AuthPass
		copy(a.Password[:], o["pass"])
	}
	m := vrrp.Message{Advert: a}
	b := m.AppendIPv4(nil, from, to, uint8(p.number(o["ttl"], 255)), 1)
	p.step(vrrp.Received{Instance: name, Packet: &vrrp.Packet{Source: from, Destination: to, TTL: int(b[8]), Header: b[:20], Payload: b[20:]}})
}

func (p *player) addresses(text string) (list []netip.Addr) {
	if text == "" {
		text = "10.9.0.100"
	}
	for a := range strings.SplitSeq(text, ",") {
		list = append(list, netip.MustParseAddr(a))
	}
	return list
}

func (p *player) number(text string, otherwise int) int {
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

func (p *player) duration(text string, otherwise time.Duration) time.Duration {
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		p.t.Fatal(err)
	}
	return d
}

// wait lets time pass from deadline to deadline.
func (p *player) wait(d time.Duration) {
	end := p.now.Add(d)
	for {
		next, ok := p.machine.Deadline()
		if !ok || next.After(end) {
			break
		}
		if next.Before(p.now) {
			p.t.Fatalf("the machine waits for what is over since %v", p.now.Sub(next))
		}
		p.now = next
		p.step(vrrp.Tick{})
		if again, ok := p.machine.Deadline(); ok && again == next {
			p.t.Fatal("the machine waits for what it has just been told")
		}
	}
	p.now = end
}

func (p *player) step(ev vrrp.Event) { p.print(p.machine.Step(p.now, ev)) }

func (p *player) print(effects []vrrp.Effect) {
	for _, e := range effects {
		fmt.Fprintf(&p.out, "%8.3f  ", p.now.Sub(p.begin).Seconds())
		switch e := e.(type) {
		case vrrp.Send:
			fmt.Fprintf(&p.out, "%s: send priority %d\n", e.Instance, e.Message.Priority)
		case vrrp.Own:
			fmt.Fprintf(&p.out, "%s: own\n", e.Instance)
		case vrrp.Disown:
			fmt.Fprintf(&p.out, "%s: disown\n", e.Instance)
		case vrrp.Tell:
			fmt.Fprintf(&p.out, "%s: tell %d times\n", e.Instance, e.Repeat)
		case vrrp.Changed:
			fmt.Fprintf(&p.out, "%s: %s -> %s, priority %d: %s\n", e.Instance, e.From, e.To, e.Priority, e.Reason)
		case vrrp.MasterSeen:
			fmt.Fprintf(&p.out, "%s: sees master %s\n", e.Instance, e.Master)
		case vrrp.Deleted:
			fmt.Fprintf(&p.out, "%s: deleted\n", e.Instance)
		case vrrp.TellElsewhere:
			fmt.Fprintf(&p.out, "%s: tell elsewhere\n", e.Instance)
		case vrrp.Renamed:
			fmt.Fprintf(&p.out, "%s: renamed to %s as %s, priority %d\n", e.From, e.To, e.State, e.Priority)
		case vrrp.GroupChanged:
			fmt.Fprintf(&p.out, "group %s: %s -> %s\n", e.Group, e.From, e.To)
		case vrrp.PriorityChanged:
			fmt.Fprintf(&p.out, "%s: priority %d as %s\n", e.Instance, e.Priority, e.State)
		case vrrp.LowerHeard:
			fmt.Fprintf(&p.out, "%s: heard lower\n", e.Instance)
		case vrrp.Log:
			fmt.Fprintf(&p.out, "log %s\n", e.Text)
		case vrrp.Done:
			fmt.Fprintf(&p.out, "done\n")
		}
	}
}

func (p *player) status() {
	for _, s := range p.machine.Status() {
		fmt.Fprintf(&p.out, "%8.3f  %s is %s since %.3f (%s), priority %d of %d", p.now.Sub(p.begin).Seconds(),
			s.Instance, s.State, s.Since.Sub(p.begin).Seconds(), s.Reason, s.Effective, s.Priority)
		if s.Master.IsValid() {
			fmt.Fprintf(&p.out, ", last heard %s with %d", s.Master, s.MasterPriority)
		}
		if s.Conflict.Why != "" {
			fmt.Fprintf(&p.out, ", in conflict with %s: %s", s.Conflict.Peer, s.Conflict.Why)
		}
		fmt.Fprintln(&p.out)
	}
}
