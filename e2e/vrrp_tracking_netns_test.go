//go:build netns

package e2e

import "time"

// tracking is about what makes a master worse, or no master at all.
func tracking() []scenario {
	tracked := func(weight string) string {
		return vi(v3, "priority 150", block("track_interface", "up0 "+weight))
	}
	worse := vi(v3, "priority 100")
	add := command('a', "sh", "-ec", "ip link add up0 type veth peer name up1; ip link set up1 up; ip link set up0 up")
	down, up := command('a', "ip", "link", "set", "up0", "down"), command('a', "ip", "link", "set", "up0", "up")
	taken := between(masterDown(fast, 100)-fast, masterDown(fast, 100))
	var flaps []act
	for range 5 {
		flaps = append(flaps, down, wait(fast/2), up, wait(2*fast))
	}
	return []scenario{
		{
			name: "a tracked interface with a weight", casts: mixed(), long: pure(), interval: fast,
			conf: []string{tracked("weight -100"), worse},
			steps: []step{
				{what: "both start", do: []act{add, start('a'), start('b')}, masters: "a", takes: between(0, masterDown(fast, 150))},
				{what: "up0 goes down", do: []act{down}, masters: "b", takes: taken, logs: []line{
					{who: "a", text: "(VI) Changing effective priority from 150 to 50"},
					{who: "a", text: toBackup},
				}},
				{what: "up0 comes up", do: []act{up}, masters: "a", takes: between(masterDown(fast, 150)-fast, masterDown(fast, 150)+fast),
					logs: []line{{who: "a", text: "(VI) Changing effective priority from 50 to 150"}}},
			},
		},
		{
			// Shorter than anybody's timer: the master changes its priority, but not its state.
			name: "a tracked interface flaps", casts: mixed(), long: pure(), interval: fast,
			conf: []string{tracked("weight -100"), worse},
			steps: []step{
				{what: "both start", do: []act{add, start('a'), start('b')}, masters: "a", takes: between(0, masterDown(fast, 150))},
				{what: "up0 flaps", do: flaps, masters: "a", hold: 2 * time.Second,
					logs: []line{{who: "a", text: "(VI) Changing effective priority from 50 to 150"}}},
			},
		},
		{
			name: "a tracked interface without a weight", casts: mixed(), long: pure(), interval: fast,
			conf: []string{tracked(""), worse},
			steps: []step{
				{what: "both start", do: []act{add, start('a'), start('b')}, masters: "a", takes: between(0, masterDown(fast, 150))},
				{what: "up0 goes down", do: []act{down}, masters: "b", takes: silence(skew(fast, 100)), logs: []line{{who: "a", text: toFault}}},
				{what: "up0 comes up", do: []act{up}, masters: "a", takes: after(masterDown(fast, 150)), logs: []line{{who: "a", text: toBackup}}},
			},
		},
	}
}
