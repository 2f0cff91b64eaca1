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
	touch, remove := command('a', "touch", "/run/there"), command('a', "rm", "/run/there")
	number := func(n string) act { return command('a', "sh", "-c", "echo "+n+" >/run/number") }
	// Longer and shorter than what they are to meet, however busy this machine is.
	script := func(text string) act { return command('a', "nice", "-n", "-15", "sh", "-ec", text) }
	flaps := script("for i in 1 2 3 4 5; do ip link set up0 down; sleep 0.1; ip link set up0 up; sleep 0.4; done")
	gaps := script("for i in 1 2; do rm /run/there; sleep 0.8; touch /run/there; sleep 1.2; done")
	islands := script("touch /run/there; sleep 0.8; rm /run/there; sleep 1.2")
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
				{what: "up0 flaps", do: []act{flaps}, masters: "a", hold: 2 * time.Second,
					logs: []line{{who: "a", text: "(VI) Changing effective priority from 50 to 150"}}},
			},
		},
		{
			// One failure is none with fall 2, and one success no recovery with rise 2. Each gap in
			// the file is seen by one probe at the most.
			name: "a tracked script flaps", casts: mixed(), long: pure(), interval: fast,
			conf: []string{
				block("global_defs", "script_user root") +
					block("vrrp_script there", `script "/usr/bin/test -e /run/there"`, "interval 1", "fall 2", "rise 2", "weight -100") +
					vi(v3, "priority 150", block("track_script", "there")),
				worse,
			},
			steps: []step{
				{what: "both start", do: []act{touch, start('a'), start('b')}, masters: "a", takes: between(0, time.Second+masterDown(fast, 150))},
				{what: "the script flaps", do: []act{gaps}, masters: "a"},
				{what: "the script fails", do: []act{remove}, masters: "b", takes: between(time.Second+masterDown(fast, 100)-fast, 2*time.Second+masterDown(fast, 100)),
					logs: []line{{who: "a", text: "(VI) Changing effective priority from 150 to 50"}}},
				{what: "the script flaps the other way", do: []act{islands}, masters: "b"},
				{what: "the script succeeds", do: []act{touch}, masters: "a", takes: between(time.Second+masterDown(fast, 150)-fast, 2*time.Second+masterDown(fast, 150)+fast),
					logs: []line{{who: "a", text: "(VI) Changing effective priority from 50 to 150"}}},
			},
		},
		{
			// Its number is added to the priority. What is read at once is told apart from the default.
			name: "a tracked file", casts: mixed(), long: pure(), interval: fast,
			conf: []string{
				block("track_file number", "file /run/number", "init_file 0") + vi(v3, "priority 150", block("track_file", "number weight 1")),
				worse,
			},
			steps: []step{
				{what: "both start", do: []act{start('a'), start('b')}, masters: "a", takes: between(0, masterDown(fast, 150))},
				{what: "the number is -100", do: []act{number("-100")}, masters: "b", takes: taken, logs: []line{
					{who: "a", text: "(VI) Changing effective priority from 150 to 50"},
				}},
				{what: "the number is 90", do: []act{number("90")}, masters: "a", takes: between(masterDown(fast, 240)-fast, masterDown(fast, 240)+fast), logs: []line{
					{who: "a", text: "(VI) Changing effective priority from 50 to 240"},
				}},
				{what: "the number is -254", do: []act{number("-254")}, masters: "b", takes: silence(skew(fast, 100)), logs: []line{{who: "a", text: toFault}}},
				{what: "the number is 0", do: []act{number("0")}, masters: "a", takes: after(masterDown(fast, 150)), logs: []line{{who: "a", text: toBackup}}},
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
