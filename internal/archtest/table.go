// Package archtest keeps the promises about the code's shape that the compiler does not:
// which package may import which, where unsafe and system calls live, that everything
// exported is documented, and that no package has state of its own.
//
// The promises are data ([Packages], [Restrictions]); a test holds the tree to them and
// holds ARCHITECTURE.md to the table as [Render] prints it.
package archtest

import (
	"fmt"
	"strings"
)

// A Package is a row of the import table.
type Package struct {
	Path string   // below the module
	Job  string   // what it does, in half a sentence
	Uses []string // packages of the module that it may import, and no others
}

// Packages returns the import table, a row for each package of the module. Test files
// may import more.
func Packages() []Package {
	return []Package{
		{"bench", "measures uvs and the alternatives in one run", []string{"bench/load", "bench/outcome", "bench/plot", "control", "internal/netlab", "internal/wire"}},
		{"bench/load", "makes packets at a rate and times round trips", []string{"internal/wire"}},
		{"bench/outcome", "results of benchmarks: summary, verdicts, tables, comparison", nil},
		{"bench/plot", "small charts as SVG", nil},
		{"bfd", "bidirectional forwarding detection: packets and a session as a pure machine", []string{"internal/mono"}},
		{"bfd/session", "BFD sessions on the host's sockets, by one thread", []string{"bfd", "internal/mono"}},
		{"cmd/uvs", "command line: words, flags, signals; no logic", []string{
			"config", "config/ldirectord", "control", "control/ipvsadm", "control/statusview", "internal/daemon", "internal/demo", "internal/netlab", "internal/steer", "internal/systemd"}},
		{"config", "keepalived.conf: text to typed model, with diagnostics", nil},
		{"config/ldirectord", "ldirectord.cf, rewritten as keepalived.conf", []string{"config"}},
		{"conntrack", "flow table, protocol states, timing wheel; knows no services", []string{"internal/mono"}},
		{"control", "control API on a Unix socket, and its client", nil},
		{"control/ipvsadm", "ipvsadm's command line and listings", []string{"control"}},
		{"control/ipvsadm/ipvsadmtest", "transcripts of the real ipvsadm, for tests", []string{"control/ipvsadm"}},
		{"control/statusview", "tables for people: status, connections", []string{"control"}},
		{"e2e", "tests of whole sites with the real binary", nil},
		{"forwarding", "data plane: decode, service table, process, rewrite, workers", []string{
			"conntrack", "forwarding/ftp", "forwarding/sched", "forwarding/sip", "internal/mono", "internal/wire"}},
		{"forwarding/afpacket", "port on AF_PACKET rings", []string{"forwarding", "internal/wire"}},
		{"forwarding/afxdp", "AF_XDP queues: frames go out, and plain ones come in", []string{"forwarding", "internal/mono", "internal/wire"}},
		{"forwarding/ftp", "reads FTP's control connections", nil},
		{"forwarding/porttest", "port in memory, for tests", []string{"forwarding", "internal/wire"}},
		{"forwarding/sched", "schedulers", []string{"internal/mono"}},
		{"forwarding/tap", "ports into the host's own stack", []string{"forwarding", "internal/wire"}},
		{"forwarding/sip", "finds what keeps the messages of a call together", nil},
		{"health", "checkers, thresholds and the set that runs them", []string{"internal/mono"}},
		{"internal/announce", "ARP and ND: probes, announcements, answers for what the kernel lacks", []string{"internal/wire"}},
		{"internal/archtest", "this table", nil},
		{"internal/command", "runs the programs that a configuration names", nil},
		{"internal/daemon", "composition: the only one that knows several engines", []string{
			"bfd", "bfd/session", "config", "conntrack", "control", "forwarding", "forwarding/afpacket", "forwarding/afxdp", "forwarding/sched", "forwarding/tap", "health",
			"internal/announce", "internal/command", "internal/delta", "internal/fifo", "internal/hostconf", "internal/hostmarks", "internal/hostnet", "internal/mail", "internal/mono",
			"internal/ownwatch", "internal/preflight", "internal/steer", "internal/systemd", "internal/table", "internal/track", "internal/vipcheck", "internal/wire",
			"vrrp", "vrrp/notify", "vrrp/router"}},
		{"internal/delta", "says in words where two values differ", nil},
		{"internal/demo", "a site at work, told and judged", []string{"control", "internal/netlab"}},
		{"internal/fifo", "named pipes that tell of changes, and their readers", []string{"internal/command"}},
		{"internal/hostconf", "keepalived.conf as this machine sees it", []string{"config", "internal/hostnet"}},
		{"internal/hostnet", "the host's network as snapshots, and what is changed in it", []string{"internal/mono"}},
		{"internal/hostmarks", "reads the host's netfilter rules that mark packets", []string{"config"}},
		{"internal/mail", "mail that tells of changes", nil},
		{"internal/mono", "monotonic time in eight bytes", nil},
		{"internal/netlab", "sites of network namespaces", nil},
		{"internal/netlab/capture", "packet captures in a site, for tests and benchmarks", []string{"internal/netlab"}},
		{"internal/netlab/detunnel", "ends of tunnels in a site, for tests", []string{"internal/netlab", "internal/wire"}},
		{"internal/netlab/labtest", "sites with a test's lifetime", []string{"internal/netlab", "internal/netlab/capture"}},
		{"internal/ownwatch", "notices the host's own packets to itself", []string{"internal/wire"}},
		{"internal/parity", "scripts of packets with what the kernel's IPVS made of them, for tests", []string{"internal/wire"}},
		{"internal/preflight", "looks the host and its neighbours over", []string{"internal/announce", "internal/hostnet"}},
		{"internal/skipgate", "go test -json: a skipped test is a failure unless allowed", nil},
		{"internal/steer", "keeps the kernel's stack off our packets, and has plain ones go past it", nil},
		{"internal/systemd", "sd_notify, and the watchdog that no part hangs", []string{"internal/mono"}},
		{"internal/table", "the effective service table: file, operators, health", []string{"internal/delta"}},
		{"internal/track", "scripts, files and processes that decide about fitness", []string{"internal/command", "internal/mono"}},
		{"internal/vipcheck", "asks servers whether they take packets for a virtual address", []string{"internal/wire"}},
		{"internal/wire", "header views and checksums", nil},
		{"vrrp", "virtual routers: adverts, and what they decide; knows no clock or socket", []string{"internal/mono", "internal/wire"}},
		{"vrrp/router", "sockets and timers of virtual routers", []string{"internal/mono", "vrrp"}},
		{"vrrp/notify", "what is to be told of a change of state, and how", nil},
	}
}

// A Restriction says where a library may be imported. Test files are free.
type Restriction struct {
	Import   string   // import path; what is below it is meant too
	Files    string   // pattern for file names; empty for any
	Packages []string // of the module; nil for any, empty for none
	Why      string
}

// Restrictions returns what is not everybody's to import.
func Restrictions() []Restriction {
	return []Restriction{
		{"C", "", []string{}, "one static binary"},
		{"unsafe", "*_unsafe*.go", nil, "pointer work is found by its file name"},
		{"golang.org/x/sys/unix", "*_linux.go", nil, "system calls are found by their file name"},
		{"golang.org/x/net/bpf", "", []string{"forwarding/afpacket", "internal/announce", "internal/ownwatch", "internal/vipcheck"}, "socket filters belong to who owns the socket"},
		{"github.com/cilium/ebpf", "", []string{"internal/steer"}, "bpf(2) has one owner, which steers and diverts"},
		{"github.com/coreos/go-systemd", "", []string{"internal/systemd"}, "one word with systemd"},
		{"github.com/google/gopacket", "", []string{"bench", "internal/netlab/capture"}, "7 MB of memory: tests and benchmarks only"},
		{"github.com/google/nftables", "", []string{"internal/preflight", "internal/steer"}, "other software's rules are not touched"},
		{"github.com/mdlayher/netlink", "", []string{"internal/steer"}, "nftables speaks it"},
		{"github.com/mdlayher/packet", "", []string{"internal/announce", "internal/ownwatch"}, "rings are afpacket's own code"},
		{"github.com/vishvananda/netlink", "", []string{"internal/hostnet", "internal/netlab", "internal/steer"}, "the rest gets snapshots"},
		{"github.com/vishvananda/netns", "", []string{"internal/netlab"}, "the product stays in its namespace"},
		{"github.com/spf13/cobra", "", []string{"cmd/uvs"}, "words and flags are the command line's"},
		{"encoding/json", "", []string{"bench", "bench/outcome", "cmd/uvs", "control", "internal/daemon", "internal/hostmarks", "internal/skipgate"}, "not in the data plane"},
		{"net/http", "", []string{"cmd/uvs", "control", "health", "internal/daemon", "internal/demo"}, "not in the data plane"},
		{"os/exec", "", []string{"bench", "cmd/uvs", "internal/command", "internal/hostmarks", "internal/netlab", "internal/netlab/labtest", "internal/preflight", "internal/steer"}, "not in the data plane"},
		{"log/slog", "", []string{"cmd/uvs", "internal/daemon"}, "libraries return errors or events"},
		{"log", "", []string{"cmd/uvs", "control", "internal/daemon"}, "libraries return errors or events; net/http in control needs one to be silent"},
		{"testing", "", []string{"control/ipvsadm/ipvsadmtest", "internal/netlab/labtest", "internal/parity"}, "not linked into the product"},
	}
}

// The lines of ARCHITECTURE.md between which the rendered tables stand.
const (
	MarkerBegin = "<!-- import table: begin; written by go test ./internal/archtest -update -->"
	MarkerEnd   = "<!-- import table: end -->"
)

// Render returns the tables as Markdown.
func Render(packages []Package, restrictions []Restriction) string {
	var b strings.Builder
	b.WriteString("| Package | Job | May import |\n|---|---|---|\n")
	for _, p := range packages {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", p.Path, p.Job, codes(p.Uses))
	}
	b.WriteString("\n| Library | Only in | Why |\n|---|---|---|\n")
	for _, r := range restrictions {
		where := codes(r.Packages)
		if r.Files != "" {
			where = codes([]string{r.Files})
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.Import, where, r.Why)
	}
	return b.String()
}

func codes(words []string) string {
	if len(words) == 0 {
		return "–"
	}
	return "`" + strings.Join(words, "` `") + "`"
}
