//go:build netns

package e2e

import "time"

// misfits are routers that are configured to refuse each other: both are masters, as long as
// that lasts. uvs says so once, with what differs.
func misfits() []scenario {
	secret := auth("PASS", "secret")
	return []scenario{
		misfit("another interval in version 2", vi(v2, "priority 150"), vi("version 2\n advert_int 2", "priority 100"), vi(v2, "priority 100"), 2*slow,
			"advertisement interval mismatch mine=1 sec rcv'd=2 sec; from 10.9.1.2: advert interval 2s, ours 1s.",
			"advertisement interval mismatch mine=2 sec rcv'd=1 sec; from 10.9.1.1: advert interval 1s, ours 2s."),
		misfit("another password", vi(v2, "priority 150", secret), vi(v2, "priority 100", auth("PASS", "public")), vi(v2, "priority 100", secret), slow,
			"received an invalid passwd!; from 10.9.1.2: password differs from ours.",
			"received an invalid passwd!; from 10.9.1.1: password differs from ours."),
		misfit("no authentication", vi(v2, "priority 150", secret), vi(v2, "priority 100"), vi(v2, "priority 100", secret), slow,
			"; from 10.9.1.2: authentication none, ours PASS.",
			"; from 10.9.1.1: authentication PASS, ours none."),
		misfit("another version", vi(v2, "priority 150"), vi("version 3\n advert_int 1", "priority 100"), vi(v2, "priority 100"), slow,
			"; from 10.9.1.2: version 3, ours 2.",
			"; from 10.9.1.1: version 2, ours 3."),
		misfit("another address", vi(v3, "priority 150"), instance("VI", "eth0", 51, "10.9.1.101/24", v3, "priority 100"), vi(v3, "priority 100"), fast,
			"ip address associated with VRID 51 not present in MASTER advert: 10.9.1.100; from 10.9.1.2: addresses differ: only theirs 10.9.1.101, only ours 10.9.1.100.",
			"ip address associated with VRID 51 not present in MASTER advert: 10.9.1.101; from 10.9.1.1: addresses differ: only theirs 10.9.1.100, only ours 10.9.1.101."),
		misfit("one address more", vi(v3, "priority 150"), instance("VI", "eth0", 51, vip+"/24\n10.9.1.101/24", v3, "priority 100"), vi(v3, "priority 100"), fast,
			"; from 10.9.1.2: 2 addresses, ours 1.",
			"; from 10.9.1.1: 1 addresses, ours 2."),
	}
}

// misfit is the story of a and b that refuse each other until b is put right. aSays and bSays
// are what each finds wrong with the other, if it is uvs.
func misfit(name, a, b, right string, interval time.Duration, aSays, bSays string) scenario {
	once := func(who, text string) line { return line{who: who, text: text, once: true, uvs: true} }
	quickest := masterDown(min(interval, slow), 100) // of a pair with different intervals
	return scenario{
		name: name, casts: mixed(), long: pure(), interval: interval,
		conf: []string{a, b},
		steps: []step{
			{what: "a starts", do: []act{start('a')}, masters: "a", takes: between(0, masterDown(interval, 150))},
			{
				what: "b starts", do: []act{start('b')}, masters: "ab", holders: "?", conflict: "ab", silenced: true,
				takes: between(quickest, masterDown(interval, 100)), hold: 2 * interval, logs: []line{
					once("a", aSays), once("a", "(VI) two masters: 10.9.1.2 is MASTER of VRID 51, too"),
					once("b", bSays), once("b", "(VI) two masters: 10.9.1.1 is MASTER of VRID 51, too"),
				},
			},
			{what: "b is put right", do: []act{reload('b', right), writes('b', toBackup)}, masters: "a", conflict: "?"},
		},
	}
}
