//go:build netns

package e2e

import "time"

// cuts are about cables.
func cuts() []scenario {
	better, worse := vi(v3, "priority 150"), vi(v3, "priority 100")
	begin := step{what: "both start", do: []act{start('a'), start('b')}, masters: "a", takes: between(0, masterDown(fast, 150))}
	taken := between(masterDown(fast, 100)-fast, masterDown(fast, 100))
	return []scenario{
		{
			name: "the master's cable is pulled", casts: mixed(), long: pure(), interval: fast,
			conf: []string{better, worse},
			steps: []step{
				begin,
				{what: "a is unplugged", do: []act{unplug('a', 1)}, masters: "b", takes: silence(masterDown(fast, 100)),
					logs: []line{{who: "a", text: toFault}}},
				{what: "a is plugged in", do: []act{plug('a', 1)}, masters: "a", takes: after(masterDown(fast, 150)),
					logs: []line{{who: "a", text: toBackup}, {who: "b", text: toBackup}}},
			},
		},
		{
			name: "the master's cable is pulled, nopreempt", casts: mixed(), long: pure(), interval: fast,
			conf: []string{vi(v3, "priority 150", "state BACKUP", "nopreempt"), vi(v3, "priority 100", "state BACKUP", "nopreempt")},
			steps: []step{
				{what: "a starts", do: []act{start('a')}, masters: "a", takes: after(masterDown(fast, 150))},
				{what: "b starts", do: []act{start('b')}, masters: "a"},
				{what: "a is unplugged", do: []act{unplug('a', 1)}, masters: "b", takes: silence(masterDown(fast, 100))},
				{what: "a is plugged in", do: []act{plug('a', 1)}, masters: "b", hold: 2 * time.Second,
					logs: []line{{who: "a", text: toBackup}}},
			},
		},
		{
			name: "the backup's cable is pulled", casts: mixed(), long: pure(), interval: fast,
			conf: []string{better, worse},
			steps: []step{
				begin,
				{what: "b is unplugged", do: []act{unplug('b', 1)}, masters: "a", hold: time.Second, logs: []line{{who: "b", text: toFault}}},
				{what: "b is plugged in", do: []act{plug('b', 1)}, masters: "a", hold: 2 * time.Second, logs: []line{{who: "b", text: toBackup}}},
			},
		},
		{
			// The bystander is on b's side.
			name: "a switch drops both directions", casts: append(mixed(), "uu"), long: []string{"kk"}, interval: fast,
			conf: []string{better, worse},
			steps: []step{
				begin,
				{what: "a is cut off", do: []act{deafen('a'), mute('a')}, masters: "b", holders: "ab", takes: silence(masterDown(fast, 100)), hold: time.Second},
				{what: "a is back", do: []act{unmute('a'), undeafen('a')}, masters: "a", takes: between(0, fast), logs: []line{{who: "b", text: toBackup}}},
			},
		},
		{
			// a hears that b does not hear it.
			name: "the master is not heard", casts: append(mixed(), "uu"), long: []string{"kk"}, interval: fast,
			conf: []string{better, worse},
			steps: []step{
				begin,
				{what: "a is mute", do: []act{mute('a')}, masters: "b", holders: "ab", conflict: "a", takes: silence(masterDown(fast, 100)), hold: 2 * time.Second,
					logs: []line{{who: "a", text: "(VI) two masters: 10.9.1.2 is MASTER of VRID 51, too", once: true, uvs: true}}},
				{what: "a is heard again", do: []act{unmute('a')}, masters: "a", tells: "a", takes: between(0, fast), logs: []line{{who: "b", text: toBackup}}},
			},
		},
		{
			name: "the backup hears nothing", casts: append(mixed(), "uu"), long: []string{"kk"}, interval: fast,
			conf: []string{better, worse},
			steps: []step{
				begin,
				{what: "b is deaf", do: []act{deafen('b')}, masters: "ab", conflict: "a", takes: taken, hold: 2 * time.Second,
					logs: []line{{who: "a", text: "(VI) two masters: 10.9.1.2 is MASTER of VRID 51, too", once: true, uvs: true}}},
				{what: "b hears again", do: []act{undeafen('b')}, masters: "a", logs: []line{
					{who: "b", text: "(VI) Master received advert from 10.9.1.1 with higher priority 150, ours 100"},
				}},
			},
		},
		{
			// What happens to one member happens to both: b waits for its slower timer.
			name: "sync group on two segments", casts: mixed(), long: pure(), segments: 2, interval: fast, vips: []string{vip, "10.9.2.100"},
			conf: []string{twoSegments("150"), twoSegments("100")},
			steps: []step{
				begin,
				{what: "a is unplugged from the second", do: []act{unplug('a', 2)}, masters: "b", takes: silence(masterDown(fast, 100)), logs: []line{
					{who: "a", text: "VRRP_Group(G) Syncing instances to FAULT state"},
					{who: "b", text: "VRRP_Group(G) Syncing instances to MASTER state"},
				}},
				{what: "a is plugged in", do: []act{plug('a', 2)}, masters: "a", takes: after(masterDown(fast, 150)), logs: []line{
					{who: "a", text: "VRRP_Group(G) Syncing instances to MASTER state"},
					{who: "b", text: "VRRP_Group(G) Syncing instances to BACKUP state"},
				}},
				{what: "a crashes", do: []act{kill('a')}, masters: "b", holders: "ab", takes: silence(masterDown(fast, 100))},
			},
		},
		{
			// Only one of b's timers ends: its group stays.
			name: "sync group, one member hears nothing", casts: mixed(), long: pure(), segments: 2, interval: fast, vips: []string{vip, "10.9.2.100"},
			conf: []string{twoSegments("150"), twoSegments("100")},
			steps: []step{
				begin,
				{what: "b is deaf on the first", do: []act{deafen('b')}, masters: "a", hold: 3 * time.Second},
				{what: "b hears again", do: []act{undeafen('b')}, masters: "a", hold: time.Second},
			},
		},
		{
			name: "sync group, nopreempt", casts: mixed(), long: pure(), segments: 2, interval: fast, vips: []string{vip, "10.9.2.100"},
			conf: []string{twoSegments("150\nstate BACKUP\nnopreempt"), twoSegments("100\nstate BACKUP\nnopreempt")},
			steps: []step{
				{what: "a starts", do: []act{start('a')}, masters: "a", takes: after(masterDown(fast, 150))},
				{what: "b starts", do: []act{start('b')}, masters: "a"},
				{what: "a is unplugged from the second", do: []act{unplug('a', 2)}, masters: "b", takes: silence(masterDown(fast, 100))},
				{what: "a is plugged in", do: []act{plug('a', 2)}, masters: "b", hold: 2 * time.Second},
				{what: "b stops", do: []act{stop('b')}, masters: "a", takes: silence(skew(fast, 150))},
			},
		},
		{
			// Sockets and groups go with a device, and come with its successor.
			name: "the master's interface is replaced", casts: []string{"uk", "uu"}, interval: fast,
			conf: []string{better, worse},
			steps: []step{
				begin,
				{what: "a's interface is removed", do: []act{command('a', "ip", "link", "delete", "eth0")}, masters: "b", takes: silence(masterDown(fast, 100)),
					logs: []line{{who: "a", text: toFault}}},
				{what: "a has another", do: []act{attach('a')}, masters: "a", takes: between(masterDown(fast, 150), masterDown(fast, 150)+fast)},
				{what: "a stops", do: []act{stop('a')}, masters: "b", takes: silence(skew(fast, 100))},
			},
		},
	}
}

// twoSegments is a sync group with an instance on each segment.
func twoSegments(priority string) string {
	return block("vrrp_sync_group G", block("group", "VI", "VI2")) +
		vi(v3, "priority "+priority) + instance("VI2", "eth1", 52, "10.9.2.100/24", v3, "priority "+priority)
}
