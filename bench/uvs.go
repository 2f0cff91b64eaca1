package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"uvs/control"
	"uvs/internal/netlab"
)

// A build is a uvs to measure and the arguments that it runs with.
type build struct {
	name string // empty for the only one
	path string
	args []string // of uvs run
	role role
}

// standard are the builds that are measured without -uvs: the settings as they come, and
// each other way in and out.
func standard() []build {
	return []build{
		{path: "bin/uvs"},
		{name: "v3", path: "bin/uvs", args: []string{"--io", "v3"}, role: mode},
		// Longer than the time between two pings: this worker never sleeps.
		{name: "busy", path: "bin/uvs", args: []string{"--busy-poll", "1ms"}, role: waiting},
		{name: "afxdp", path: "bin/uvs", args: []string{"--io", "afxdp"}, role: fallback},
		{name: "sendmmsg", path: "bin/uvs", args: []string{"--transmit", "sendmmsg"}, role: fallback},
		{name: "recvmmsg", path: "bin/uvs", args: []string{"--io", "recvmmsg", "--transmit", "sendmmsg"}, role: fallback},
	}
}

// parseBuild reads "[NAME=]PATH [ARGS]".
func parseBuild(text string) (build, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return build{}, errors.New("want [NAME=]PATH [ARGS]")
	}
	b := build{path: words[0], args: words[1:]}
	if name, path, ok := strings.Cut(words[0], "="); ok {
		b.name, b.path = name, path
	}
	return b, nil
}

func uvsNAT(b build) contender { return b.contender("NAT", nat) }

func uvsDR(b build) contender { return b.contender("DR", dr) }

// contender is a uvs with services of the given method and no checks, with one worker on
// the director's core.
func (b build) contender(method string, k kind) contender {
	name := "uvs-" + strings.ToLower(method)
	if b.name != "" {
		name += "-" + b.name
	}
	path, err := filepath.Abs(b.path)
	if err != nil {
		path = b.path
	}
	b.path = path
	return contender{
		name:     name,
		about:    strings.TrimSpace("uvs run --workers 1 "+strings.Join(b.args, " ")) + ": " + method + ", steering and all else by default",
		kind:     k,
		role:     b.role,
		offloads: b.changes(),
		missing:  func() error { return b.unknownWord(name) },
		needs:    []program{{name: b.path}},
		start: func(ctx context.Context, s *site, d demand) (session, error) {
			return b.start(ctx, s, d, method)
		},
	}
}

// changes returns the changes to offloads that this build makes.
func (b build) changes() []string {
	if strings.Contains(strings.Join(b.args, " "), "--io afxdp") {
		return segmentsAtTheEnds()
	}
	return nil
}

// unknownWord is an error if this build does not know a word that it would run with: an older one
// is measured without the newer ways.
func (b build) unknownWord(contender string) error {
	if b.role == asItComes {
		return nil // somebody asked for it
	}
	help, err := exec.Command(b.path, "run", "--help").Output()
	if err != nil {
		return nil //nolint:nilerr // that it does not run is told when it starts
	}
	if word := unknownWord(string(help), b.args); word != "" {
		return fmt.Errorf("%s left out: this uvs has no %s", contender, word)
	}
	return nil
}

// unknownWord returns the first flag, or flag and value, of args that a help text does not
// have; empty if it has all. Values are looked for where the help lists them, as a|b|c.
func unknownWord(help string, args []string) string {
	for i := 0; i+1 < len(args); i += 2 {
		flag, value := args[i], args[i+1]
		_, after, ok := strings.Cut(help, " "+flag+" ")
		if !ok {
			return flag
		}
		kind, _, _ := strings.Cut(after, " ")
		if values := strings.Split(kind, "|"); len(values) > 1 && !slices.Contains(values, value) {
			return flag + " " + value
		}
	}
	return ""
}

// startTimeout is how long a director may take until it is ready.
const startTimeout = 15 * time.Second

func (b build) start(_ context.Context, s *site, d demand, method string) (_ session, err error) {
	arrival := single(s.serverAddr())
	switch {
	case method == "DR":
		arrival = single(s.vip)
	case d.servers > 1:
		arrival = manyServers()
	}
	u := &uvs{site: s, bin: b.path}
	if u.way, err = s.through(netip.AddrPortFrom(s.vip, d.port), arrival); err != nil {
		return nil, err
	}
	if u.dir, err = os.MkdirTemp("", "uvs-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, u.stop())
		}
	}()
	file := filepath.Join(u.dir, "keepalived.conf")
	if err := os.WriteFile(file, []byte(uvsConfig(s.vip, s.serverAddr(), d, method)), 0o644); err != nil {
		return nil, err
	}
	args := append([]string{b.path, "run", "-f", file, "--workers", "1"}, b.args...)
	c := netlab.Cmd{}
	if d.connections > 0 {
		args = append(args, "--max-connections", strconv.Itoa(d.connections))
		c.Env = []string{"GODEBUG=gctrace=1"}
	}
	run := s.cores.onDirector(args...)
	c.Name, c.Args = run[0], run[1:]
	if u.process, err = s.director.StartCmd(c); err != nil {
		return nil, err
	}
	return u, u.process.WaitOutput(startTimeout, "uvs is ready")
}

// uvsConfig returns keepalived.conf for a demand. With more servers than one they are in
// manyServers.
func uvsConfig(vip, server netip.Addr, d demand, method string) string {
	var servers []netip.Addr
	if d.servers > 1 {
		a := manyServers().Addr()
		for range d.servers {
			a = a.Next()
			servers = append(servers, a)
		}
	} else {
		servers = append(servers, server)
	}
	scheduler := d.scheduler
	if scheduler == "" {
		scheduler = "rr"
	}
	var b strings.Builder
	for i := range max(1, d.services) {
		port := int(d.port) + i
		fmt.Fprintf(&b, "virtual_server %s %d {\n\tlb_algo %s\n\tlb_kind %s\n\tprotocol %s\n", vip, port, scheduler, method, d.protocol)
		for _, server := range servers {
			fmt.Fprintf(&b, "\treal_server %s %d {\n\t}\n", server, port)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// uvs is a running director.
type uvs struct {
	site    *site
	bin     string
	dir     string // of the configuration
	way     path
	process *netlab.Process // nil if it did not start
}

func (u *uvs) path() path { return u.way }

func (u *uvs) status(ctx context.Context) (status control.Status, err error) {
	p, err := u.site.director.Start(u.bin, "status", "-o", "json")
	if err != nil {
		return status, err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		return status, ctx.Err()
	}
	if err := p.Wait(); err != nil {
		return status, fmt.Errorf("uvs status: %w: %s", err, p.Output())
	}
	if err := json.Unmarshal([]byte(p.Stdout()), &status); err != nil {
		return status, fmt.Errorf("uvs status: %w", err)
	}
	return status, nil
}

func (u *uvs) counters(ctx context.Context) (counters, error) {
	status, err := u.status(ctx)
	if err != nil {
		return nil, err
	}
	c := make(counters)
	for _, i := range status.Interfaces {
		c["forwarded"] += i.TxFrames
		c["received"] += i.RxFrames
		c["ring drops"] += i.RingDrops
		c["send errors"] += i.TxErrors
	}
	for reason, n := range status.Drops {
		c["dropped: "+reason] = n
	}
	return c, nil
}

func (u *uvs) connections(ctx context.Context) (uint64, error) {
	status, err := u.status(ctx)
	return status.Flows.Current, err
}

// memory returns the resident set of the process (proc(5)).
func (u *uvs) memory(context.Context) (uint64, error) {
	text := strings.TrimSuffix(fieldOf(fmt.Sprintf("/proc/%d/status", u.process.Pid()), "VmRSS"), " kB")
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("resident set of uvs: %w", err)
	}
	return n << 10, nil
}

func (u *uvs) pauses() []float64 { return parseGCTrace(u.process.Stderr()) }

// gcLine is a line of GODEBUG=gctrace=1 (package runtime): the first and the last of the
// three times are those in which the world stood still, in milliseconds.
var gcLine = regexp.MustCompile(`(?m)^gc \d+ @[0-9.]+s \d+%: ([0-9.]+)\+[0-9.]+\+([0-9.]+) ms clock`)

// parseGCTrace returns the pauses in microseconds.
func parseGCTrace(text string) []float64 {
	var pauses []float64
	for _, m := range gcLine.FindAllStringSubmatch(text, -1) {
		for _, field := range m[1:] {
			if ms, err := strconv.ParseFloat(field, 64); err == nil {
				pauses = append(pauses, 1000*ms)
			}
		}
	}
	return pauses
}

func (u *uvs) stop() error {
	var err error
	if u.process != nil {
		err = u.process.Stop()
	}
	return errors.Join(err, os.RemoveAll(u.dir))
}
