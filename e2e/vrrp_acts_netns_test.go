//go:build netns

package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// beginnings are what a player writes when it takes part, or would if it could.
var beginnings = [...]string{"Entering BACKUP STATE (init)", "Entering MASTER STATE", "entering FAULT state"}

// start starts a player and waits until it takes part. All have a priority above the rest of
// this machine, as what is measured are protocols.
func start(role byte) act {
	return func(p *play) {
		p.t.Helper()
		x := p.players[role]
		x.crashed = false
		if x.kind == 'f' {
			x.startFRR(p)
			return
		}
		words := []string{"-n", "-15"}
		if x.kind == 'u' {
			words = append(words, labtest.Binary(p.t), "run", "-f", x.file, "--log-level", "debug", "--workers", "1", "--ring-memory", "4M")
		} else {
			words = append(words, "keepalived", "-n", "-l", "-D", "-P", "-f", x.file, "-p", "/run/keepalived.pid", "-r", "/run/vrrp.pid")
		}
		x.procs = append(x.procs, labtest.Start(p.t, x.host, "nice", words...))
		labtest.Eventually(p.t, startTimeout, func() error {
			text := x.proc().Output()
			for _, b := range beginnings {
				if strings.Contains(text, b) {
					return nil
				}
			}
			if !x.running() {
				p.t.Fatalf("%s ended: %s", x.name, text)
			}
			return fmt.Errorf("%s does not begin", x.name)
		})
	}
}

// stop stops a player as an operator does, and waits for its end.
func stop(role byte) act {
	return func(p *play) {
		p.t.Helper()
		must(p.t, p.players[role].proc().Stop())
	}
}

// kill ends a player as a crash would.
func kill(role byte) act {
	return func(p *play) {
		p.t.Helper()
		x := p.players[role]
		x.signal(p.t, syscall.SIGKILL)
		<-x.proc().Done()
		x.crashed = true
	}
}

// freeze stops all processes of a player, and thaw lets them go on.
func freeze(role byte) act {
	return func(p *play) {
		p.t.Helper()
		p.players[role].signal(p.t, syscall.SIGSTOP)
		p.players[role].frozen = true
	}
}

func thaw(role byte) act {
	return func(p *play) {
		p.t.Helper()
		p.players[role].signal(p.t, syscall.SIGCONT)
		p.players[role].frozen = false
	}
}

// reload gives a player another configuration.
func reload(role byte, conf string) act {
	return func(p *play) {
		p.t.Helper()
		x := p.players[role]
		must(p.t, os.WriteFile(x.file, []byte(conf), 0o600))
		must(p.t, x.proc().Signal(syscall.SIGHUP))
	}
}

// unplug pulls the cable of a player out of a segment, 1 or 2: it sees that. plug puts it back.
func unplug(role byte, segment int) act {
	return func(p *play) { p.t.Helper(); must(p.t, p.lans[segment-1].SetDown(string(role))) }
}

func plug(role byte, segment int) act {
	return func(p *play) { p.t.Helper(); must(p.t, p.lans[segment-1].SetUp(string(role))) }
}

// attach gives a player an interface on the first segment, with its addresses.
func attach(role byte) act {
	return func(p *play) { p.t.Helper(); p.attach(p.players[role].host, 0, int(role-'a')+1) }
}

// mute keeps the others from hearing a player, who does not notice. unmute ends it.
func mute(role byte) act {
	return func(p *play) { p.t.Helper(); drop(p, p.lans[0].Host, string(role)) }
}

func unmute(role byte) act {
	return func(p *play) { p.t.Helper(); pass(p, p.lans[0].Host, string(role)) }
}

// deafen keeps a player from hearing the others, who do not notice. undeafen ends it.
func deafen(role byte) act {
	return func(p *play) { p.t.Helper(); drop(p, p.players[role].host, "eth0") }
}

func undeafen(role byte) act {
	return func(p *play) { p.t.Helper(); pass(p, p.players[role].host, "eth0") }
}

// drop drops what comes in by an interface; pass ends it.
func drop(p *play, h *netlab.Host, ifname string) {
	p.t.Helper()
	labtest.Run(p.t, h, "nft", fmt.Sprintf("table netdev cut-%[1]s { chain cut { type filter hook ingress device %[1]s priority -500; policy drop; }; }", ifname))
}

func pass(p *play, h *netlab.Host, ifname string) {
	p.t.Helper()
	labtest.Run(p.t, h, "nft", "delete", "table", "netdev", "cut-"+ifname)
}

// command runs a command on a player's host.
func command(role byte, words ...string) act {
	return func(p *play) { p.t.Helper(); labtest.Run(p.t, p.players[role].host, words[0], words[1:]...) }
}

// writes waits until a player has written a line in this step.
func writes(role byte, text string) act {
	return func(p *play) {
		p.t.Helper()
		x := p.players[role]
		labtest.Eventually(p.t, labtest.Hang, func() error {
			if strings.Count(x.log(), text) == x.seen[text] {
				return fmt.Errorf("%s has not written %q", x.name, text)
			}
			return nil
		})
	}
}

// wait lets time pass between two acts: the story wants it, nothing is waited for.
func wait(d time.Duration) act {
	return func(p *play) {
		p.t.Helper()
		p.until(time.Now().Add(d))
	}
}

// holdsVIP wants that a player has the virtual address already.
func holdsVIP(role byte) act {
	return func(p *play) {
		p.t.Helper()
		if has, err := p.players[role].has(p.t, vip); !has || err != nil {
			p.t.Errorf("%c has not kept the virtual address: %v", role, err)
		}
	}
}
