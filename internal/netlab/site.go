package netlab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// A Site is a set of hosts and bridges with the processes that run in them. Its methods
// and those of its hosts are safe for use by many goroutines; Close must be the last
// call.
type Site struct {
	name   string
	thread *thread

	init      *exec.Cmd      // first process of the PID namespace
	initStdin io.WriteCloser // init ends when this closes
	ns        namespaces     // of init: mnt and pid

	mu      sync.Mutex // guards hosts and procs
	hosts   []*Host
	running map[*Process]struct{}
}

// initScript is what the first process of a site runs: it gives the site its own /proc,
// says so, and waits until its standard input ends. Waiting for cat, a shell also reaps
// the daemons whose parents are gone. (It must not read by itself: in dash a SIGCHLD
// ends "read".)
const initScript = `mount --make-rprivate / && mount -t proc proc /proc && echo ready && cat
exit`

// New makes an empty site. The name, a short word, appears in the process list
// ("uvs-lab:name") and in Describe.
func New(name string) (*Site, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	th, err := startThread()
	if err != nil {
		return nil, fmt.Errorf("site %s: %w", name, err)
	}
	s := &Site{name: name, thread: th, running: make(map[*Process]struct{})}
	if err := s.startInit(); err != nil {
		th.close()
		return nil, fmt.Errorf("site %s: %w", name, err)
	}
	return s, nil
}

func (s *Site) startInit() error {
	var stderr strings.Builder
	cmd := exec.Command("/bin/sh", "-c", initScript)
	cmd.Args[0] = "uvs-lab:" + s.name
	cmd.Stderr = &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGKILL,
		Setpgid:    true, // an interrupt typed at a terminal is ours to handle
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.thread.in(namespaces{}, cmd.Start); err != nil {
		return fmt.Errorf("start first process: %w", err)
	}
	s.init, s.initStdin = cmd, stdin

	if _, err := io.ReadFull(stdout, make([]byte, len("ready\n"))); err != nil {
		s.killInit()
		return fmt.Errorf("mount /proc: %s", strings.TrimSpace(stderr.String()))
	}
	for _, n := range []struct {
		file **os.File
		name string
	}{{&s.ns.mnt, "mnt"}, {&s.ns.pid, "pid"}} {
		if *n.file, err = os.Open(fmt.Sprintf("/proc/%d/ns/%s", cmd.Process.Pid, n.name)); err != nil {
			s.killInit()
			return err
		}
	}
	if s.ns.root, err = openRoot(fmt.Sprintf("/proc/%d/root", cmd.Process.Pid)); err != nil {
		s.killInit()
		return err
	}
	return nil
}

// killInit kills every process of the site and waits until they are gone: the kernel
// lets the first process of a PID namespace end last.
func (s *Site) killInit() {
	_ = s.initStdin.Close()
	_ = s.init.Process.Kill()
	_ = s.init.Wait() // "signal: killed" is the expected outcome
	s.ns.close()
}

// Close kills what still runs, waits for it, and gives up the namespaces; the kernel
// then removes interfaces, addresses and rules. A socket that Go code opened with
// [Host.Do] keeps its namespace until it is closed. After Close the site is unusable.
func (s *Site) Close() error {
	s.mu.Lock()
	hosts, running := s.hosts, s.running
	s.hosts, s.running = nil, nil
	s.mu.Unlock()
	if running == nil {
		return errors.New("site " + s.name + " is closed")
	}
	s.killInit()
	for p := range running {
		<-p.done
	}
	for _, h := range hosts {
		h.close()
	}
	s.thread.close()
	return nil
}

// AddHost adds a host with the given name and nothing but its loopback interface, up.
// Duplicate address detection, router discovery, reverse-path filters and forwarding are
// off.
func (s *Site) AddHost(name string) (*Host, error) {
	return s.addHost(name, hostSysctls())
}

func (s *Site) addHost(name string, sysctls []setting) (*Host, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.hosts {
		if h.name == name {
			return nil, fmt.Errorf("site %s: host %s exists", s.name, name)
		}
	}
	h := &Host{name: name, site: s, index: len(s.hosts) + 1}
	err := s.thread.in(namespaces{}, func() (err error) {
		h.ns, err = makeHostNamespaces(s.ns)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	h.ns.pid = s.ns.pid
	if err := h.setUp(sysctls); err != nil {
		h.close()
		return nil, err
	}
	s.hosts = append(s.hosts, h)
	return h, nil
}

// Hosts returns the site's hosts and bridges in the order they were added.
func (s *Site) Hosts() []*Host {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Host(nil), s.hosts...)
}

// Describe returns a text for people: each host with its interfaces and addresses and
// the command that opens a shell in it while the site lives.
func (s *Site) Describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "site %s, first process %d\n", s.name, s.init.Process.Pid)
	for _, h := range s.Hosts() {
		fmt.Fprintf(&b, "%s\n", h.name)
		links, err := h.describeLinks()
		if err != nil {
			fmt.Fprintf(&b, "  %v\n", err)
		}
		for _, l := range links {
			fmt.Fprintf(&b, "  %s\n", l)
		}
		fmt.Fprintf(&b, "  shell: nsenter --target %d --pid --net=%s --mount=%s\n",
			s.init.Process.Pid, h.NetPath(), fdPath(h.ns.mnt))
	}
	return b.String()
}

// fdPath is a path at which any process of the machine can open our descriptor.
func fdPath(f *os.File) string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())
}
