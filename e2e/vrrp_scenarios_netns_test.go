//go:build netns

package e2e

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestVRRPScenarios plays all scenarios, a few at a time.
func TestVRRPScenarios(t *testing.T) {
	const atOnce = 12
	scenarios := slices.Concat(misfits(), dialects(), elections(), departures(), cuts(), tracking()) // the slowest first
	var all sync.WaitGroup
	free := make(chan struct{}, atOnce)
	for n := range scenarios {
		s := &scenarios[n]
		casts := s.casts
		if os.Getenv("UVS_LONG") != "" {
			casts = slices.Concat(casts, s.long)
		}
		for _, cast := range casts {
			all.Go(func() {
				free <- struct{}{}
				defer func() { <-free }()
				t.Run(s.name+"/"+cast, func(t *testing.T) { s.perform(t, cast) })
			})
		}
	}
	all.Wait()
}

// mixed are the casts of most scenarios: uvs against keepalived, in both parts.
func mixed() []string { return []string{"uk", "ku"} }

// pure are those of one program. That keepalived alone plays it so shows that the story is
// right.
func pure() []string { return []string{"uu", "kk"} }

// Intervals: fast is slow enough for a machine with other work, slow the least of version 2.
const (
	fast = 200 * time.Millisecond
	slow = time.Second
)

const (
	v3 = "version 3\n advert_int 0.2"
	v2 = "version 2\n advert_int 1"
)

// vip is the address that floats where a scenario has no other.
const vip = "10.9.1.100"

// vi is a configuration with one instance.
func vi(lines ...string) string { return instance("VI", "eth0", 51, vip+"/24", lines...) }

func instance(name, device string, vrid int, address string, lines ...string) string {
	return block("vrrp_instance "+name, "interface "+device, "virtual_router_id "+strconv.Itoa(vrid),
		strings.Join(lines, "\n"), block("virtual_ipaddress", address))
}

// block writes a block of keepalived.conf.
func block(head string, lines ...string) string {
	return head + " {\n" + strings.Join(lines, "\n") + "\n}\n"
}

// auth is authentication of version 2.
func auth(kind, password string) string {
	return block("authentication", "auth_type "+kind, "auth_pass "+password)
}

// masterDown is Master_Down_Interval with three adverts, and skew Skew_Time: of version 3 what
// the RFC says, not what uvs makes of it. Version 2 has the same with an interval of 1 s.
func masterDown(interval time.Duration, priority int) time.Duration {
	return 3*interval + skew(interval, priority)
}

func skew(interval time.Duration, priority int) time.Duration {
	return time.Duration(256-priority) * interval / 256
}

// Lines of keepalived that uvs has, too.
const (
	toBackup = "(VI) Entering BACKUP STATE"
	toFault  = "(VI) Entering FAULT STATE"
)

// elections are about who becomes MASTER, and when.
func elections() []scenario {
	better, worse := vi(v3, "priority 150"), vi(v3, "priority 100")
	return []scenario{
		{
			name: "the better one starts first", casts: mixed(), long: pure(), interval: fast,
			conf: []string{better, worse},
			steps: []step{
				{what: "a starts", do: []act{start('a')}, masters: "a", takes: after(masterDown(fast, 150))},
				{what: "b starts", do: []act{start('b')}, masters: "a", hold: time.Second},
			},
		},
		{
			name: "the better one starts last", casts: mixed(), long: pure(), interval: fast,
			conf: []string{better, worse},
			steps: []step{
				{what: "b starts", do: []act{start('b')}, masters: "b", takes: after(masterDown(fast, 100))},
				{what: "a starts", do: []act{start('a')}, masters: "a", takes: after(masterDown(fast, 150)), logs: []line{
					{who: "a", text: "(VI) received lower priority (100) advert from 10.9.1.2 - discarding"},
					{who: "b", text: "(VI) Master received advert from 10.9.1.1 with higher priority 150, ours 100"},
					{who: "b", text: toBackup},
				}},
			},
		},
		{
			// A backup never compares addresses, masters do.
			name: "equal priority", casts: mixed(), long: pure(), interval: fast,
			conf: []string{worse, worse},
			steps: []step{
				{what: "a starts", do: []act{start('a')}, masters: "a", takes: after(masterDown(fast, 100))},
				{what: "b starts", do: []act{start('b')}, masters: "a", hold: time.Second},
				{what: "b is deaf", do: []act{deafen('b')}, masters: "b", takes: between(masterDown(fast, 100)-fast, masterDown(fast, 100)), logs: []line{
					{who: "a", text: "(VI) Master received advert from 10.9.1.2 with same priority 100 but higher IP address than ours"},
					{who: "a", text: toBackup},
				}},
				{what: "b hears again", do: []act{undeafen('b')}, masters: "b"},
				{what: "a is deaf", do: []act{deafen('a')}, masters: "ab", conflict: "b",
					takes: between(masterDown(fast, 100)-fast, masterDown(fast, 100)), hold: time.Second},
				{what: "a hears again", do: []act{undeafen('a')}, masters: "b", logs: []line{{who: "a", text: toBackup}}},
			},
		},
		{
			name: "100 ms, crash and return", casts: append(mixed(), "uu"), long: []string{"kk"}, interval: 100 * time.Millisecond,
			conf: []string{vi("version 3\n advert_int 0.1", "priority 150"), vi("version 3\n advert_int 0.1", "priority 100")},
			steps: []step{
				{what: "both start", do: []act{start('a'), start('b')}, masters: "a", takes: between(0, masterDown(100*time.Millisecond, 150))},
				{what: "a crashes", do: []act{kill('a')}, masters: "b", holders: "ab", takes: silence(masterDown(100*time.Millisecond, 100))},
				{what: "a returns", do: []act{start('a')}, masters: "a", takes: after(masterDown(100*time.Millisecond, 150))},
			},
		},
		{
			name: "nopreempt", casts: mixed(), long: pure(), interval: fast,
			conf: []string{vi(v3, "priority 150", "state BACKUP", "nopreempt"), vi(v3, "priority 100", "state BACKUP", "nopreempt")},
			steps: []step{
				{what: "b starts", do: []act{start('b')}, masters: "b", takes: after(masterDown(fast, 100))},
				{what: "a starts", do: []act{start('a')}, masters: "b", hold: 2 * time.Second},
				{what: "b stops", do: []act{stop('b')}, masters: "a", takes: silence(skew(fast, 150))},
				{what: "b returns", do: []act{start('b')}, masters: "a", hold: time.Second},
			},
		},
		{
			// The first advert of b begins the delay. After it they do not restart the timer of a any more.
			name: "preempt_delay", casts: mixed(), long: pure(), interval: fast,
			conf: []string{vi(v3, "priority 150", "state BACKUP", "preempt_delay 1"), worse},
			steps: []step{
				{what: "b starts", do: []act{start('b')}, masters: "b", takes: after(masterDown(fast, 100))},
				{what: "a starts", do: []act{start('a')}, masters: "a", takes: between(time.Second+masterDown(fast, 150)-fast, time.Second+masterDown(fast, 150)+fast),
					logs: []line{{who: "a", text: "(VI) start preempt delay (1.000000)"}}},
			},
		},
		{
			name: "both are to be MASTER first", casts: mixed(), long: pure(), interval: fast,
			conf: []string{vi(v3, "priority 150", "state MASTER"), vi(v3, "priority 100", "state MASTER")},
			steps: []step{
				{what: "b starts", do: []act{start('b')}, masters: "b", takes: after(masterDown(fast, 100))},
				{what: "a starts", do: []act{start('a')}, masters: "a", takes: after(masterDown(fast, 150))},
			},
		},
		{
			name: "startup delay", casts: mixed(), interval: fast,
			conf: []string{block("global_defs", "vrrp_startup_delay 1") + better, worse},
			steps: []step{
				{what: "a starts", do: []act{start('a')}, masters: "a", takes: after(time.Second + masterDown(fast, 150))},
			},
		},
		{
			name: "the owner of the addresses", casts: mixed(), long: pure(), interval: fast,
			conf: []string{vi(v3, "priority 255"), worse},
			steps: []step{
				{what: "b starts", do: []act{start('b')}, masters: "b", takes: after(masterDown(fast, 100))},
				{what: "a starts", do: []act{start('a')}, masters: "a", takes: between(0, 0)},
			},
		},
		{
			// Each is MASTER of one virtual router and backup of the other, on the same interface.
			name: "active and active", casts: mixed(), long: pure(), interval: fast,
			lanes: []lane{{0, 51}, {0, 52}}, vips: []string{vip, "10.9.1.101"},
			conf: []string{twoRouters("150", "100"), twoRouters("100", "150")},
			steps: []step{
				{what: "a starts", do: []act{start('a')}, masters: "a/a", takes: between(masterDown(fast, 150), masterDown(fast, 100))},
				{what: "b starts", do: []act{start('b')}, masters: "a/b", takes: after(masterDown(fast, 150))},
				{what: "a crashes", do: []act{kill('a')}, masters: "b/b", holders: "ab/b", takes: silence(masterDown(fast, 100))},
				{what: "a returns", do: []act{start('a')}, masters: "a/b", takes: after(masterDown(fast, 150))},
				{what: "b stops", do: []act{stop('b')}, masters: "a/a", takes: silence(skew(fast, 100))},
				{what: "b returns", do: []act{start('b')}, masters: "a/b", takes: after(masterDown(fast, 150))},
			},
		},
		{
			name: "three directors", casts: []string{"uku", "kuk"}, long: []string{"uuu", "kkk"}, interval: fast,
			conf: []string{better, worse, vi(v3, "priority 50")},
			steps: []step{
				{what: "all start", do: []act{start('a'), start('b'), start('c')}, masters: "a", takes: between(0, masterDown(fast, 150))},
				{what: "a crashes", do: []act{kill('a')}, masters: "b", holders: "ab", takes: silence(masterDown(fast, 100))},
				{what: "b stops", do: []act{stop('b')}, masters: "c", holders: "ac", takes: silence(skew(fast, 50))},
				{what: "a returns", do: []act{start('a')}, masters: "a", takes: after(masterDown(fast, 150))},
			},
		},
	}
}

// twoRouters are two instances on one interface.
func twoRouters(first, second string) string {
	return vi(v3, "priority "+first) + instance("VI2", "eth0", 52, "10.9.1.101/24", v3, "priority "+second)
}

// departures are about masters that leave, die, sleep and come back.
func departures() []scenario {
	better, worse := vi(v3, "priority 150"), vi(v3, "priority 100")
	begin := step{what: "both start", do: []act{start('a'), start('b')}, masters: "a", takes: between(0, masterDown(fast, 150))}
	return []scenario{
		{
			name: "priority 0 on stop", casts: append(mixed(), "uu"), long: []string{"kk"}, interval: fast,
			conf: []string{better, worse},
			steps: []step{
				begin,
				{what: "a stops", do: []act{stop('a')}, masters: "b", takes: silence(skew(fast, 100)), logs: []line{
					{who: "a", text: "(VI) sent 0 priority"},
					{who: "b", text: "(VI) Backup received priority 0 advertisement"},
				}},
				{what: "b stops", do: []act{stop('b')}, masters: ""},
			},
		},
		{
			// What it heard while it slept does not make it a backup, and is no conflict.
			name: "frozen and thawed", casts: append(mixed(), "uu"), long: []string{"kk"}, interval: fast,
			conf: []string{better, worse},
			steps: []step{
				begin,
				{what: "a freezes", do: []act{freeze('a')}, masters: "b", holders: "ab", takes: silence(masterDown(fast, 100)), hold: 2 * time.Second},
				{what: "a thaws", do: []act{thaw('a')}, masters: "a", takes: between(0, fast), hold: 2 * time.Second, logs: []line{
					{who: "a", text: "(VI) Received advert from 10.9.1.2 with lower priority 100, ours 150, forcing new election"},
					{who: "b", text: toBackup},
				}},
			},
		},
		{
			// Its addresses stay in use until it hears that they are another's.
			name: "crash with leftovers", casts: []string{"uk", "uu"}, interval: fast,
			conf: []string{vi(v3, "priority 150", "state BACKUP", "nopreempt"), vi(v3, "priority 100", "state BACKUP", "nopreempt")},
			steps: []step{
				{what: "a starts", do: []act{start('a')}, masters: "a", takes: after(masterDown(fast, 150))},
				{what: "a crashes", do: []act{kill('a')}, masters: "", holders: "a"},
				{what: "a returns alone", do: []act{start('a'), holdsVIP('a')}, masters: "a", takes: after(masterDown(fast, 150))},
				{what: "b starts", do: []act{start('b')}, masters: "a"},
				{what: "a crashes again", do: []act{kill('a')}, masters: "b", holders: "ab", takes: silence(masterDown(fast, 100))},
				{what: "a returns to b", do: []act{start('a')}, masters: "b", hold: 2 * time.Second},
			},
		},
		{
			name: "reload without the instance", casts: append(mixed(), "uu"), interval: fast,
			conf: []string{better, worse},
			steps: []step{
				begin,
				{what: "a reloads", do: []act{reload('a', "")}, masters: "b", takes: silence(skew(fast, 100))},
				{what: "a reloads again", do: []act{reload('a', better)}, masters: "a", takes: between(masterDown(fast, 150), 2*time.Second+masterDown(fast, 150))},
			},
		},
		{
			name: "reload keeps MASTER", casts: mixed(), long: pure(), interval: fast,
			conf: []string{better, worse},
			steps: []step{
				begin,
				{what: "a reloads", do: []act{reload('a', vi(v3, "priority 151")), wait(time.Second)}, masters: "a", hold: time.Second},
				{what: "b reloads", do: []act{reload('b', vi(v3, "priority 101")), wait(time.Second)}, masters: "a", hold: time.Second},
				{what: "b is to be better", do: []act{reload('b', vi(v3, "priority 200"))}, masters: "b", takes: between(0, time.Second+masterDown(fast, 200))},
			},
		},
	}
}
