package track

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uvs/internal/mono"
)

// nonblock keeps the opening of a FIFO from waiting for a writer.
const nonblock = unix.O_NONBLOCK

// cmdlineMax is how much of a command line is read.
const cmdlineMax = 64 << 10

// minScanGap is the least time between two looks, however fast processes come to their end.
const minScanGap = 50 * time.Millisecond

// runProcesses counts processes again and again: every ProcessInterval, and at once when one of those ends that were
// counted. The kernel's process connector would tell of beginnings, too, but it speaks only in the machine's first network
// namespace, and of every fork on the machine.
func (s *Set) runProcesses(ctx context.Context) {
	machines := make([]*ProcessMachine, len(s.processes))
	for i := range s.processes {
		machines[i] = NewProcessMachine(&s.processes[i])
	}
	scanner := newScanner(s.opts.ProcDir, s.processes)
	ends := newEnds(s.opts.ProcDir)
	defer ends.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	said := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ends.wake:
			timer.Reset(max(minScanGap-time.Since(scanner.last), 0))
			continue
		case <-timer.C:
		}
		counts, err := scanner.scan()
		if err != nil {
			if !said {
				said = true
				s.tell(ctx, Event{Kind: KindProcess, Time: mono.Now(), Message: fmt.Sprintf("processes cannot be counted: %v", err)})
			}
			timer.Reset(s.opts.ProcessInterval)
			continue // no number is not 0
		}
		now := mono.Now()
		ends.watch(scanner.pids)
		wait := s.opts.ProcessInterval
		for i, m := range machines {
			next, events := m.Step(now, counts[i])
			if next != 0 {
				wait = min(wait, next.Sub(now))
			}
			s.tell(ctx, events...)
		}
		timer.Reset(wait)
	}
}

// A scanner counts processes by what /proc says of them.
type scanner struct {
	dir       string
	processes []Process
	words     bool // command lines are needed
	counts    []int
	pids      []int     // of those that were counted
	last      time.Time // when the last scan ended
	buf       []byte
}

func newScanner(dir string, processes []Process) *scanner {
	c := &scanner{dir: dir, processes: processes, counts: make([]int, len(processes)), buf: make([]byte, cmdlineMax)}
	for i := range processes {
		c.words = c.words || processes[i].needsWords()
	}
	return c
}

// scan returns how many processes match each of c.processes. The slice is valid until the next scan. A process that ends
// meanwhile is not counted.
func (c *scanner) scan() ([]int, error) {
	clear(c.counts)
	c.pids = c.pids[:0]
	d, err := os.Open(c.dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid > 0 {
			c.count(pid, name)
		}
	}
	c.last = time.Now()
	return c.counts, nil
}

// count counts one process.
func (c *scanner) count(pid int, name string) {
	comm := strings.TrimSuffix(string(c.read(name, "comm")), "\n")
	var words []string
	if c.words {
		words = c.cmdline(name)
	}
	checked := false
	for i := range c.processes {
		if !c.processes[i].matches(comm, words) {
			continue
		}
		if !checked && !c.alive(name) {
			return
		}
		if !checked {
			checked = true
			c.pids = append(c.pids, pid)
		}
		c.counts[i]++
	}
}

// alive reports whether a process is one that has not ended and only waits to be waited for.
func (c *scanner) alive(pid string) bool {
	b := c.read(pid, "stat")
	// The name in parentheses may hold anything, parentheses too; the state follows the last one.
	state := bytes.LastIndexByte(b, ')') + len(") ")
	return state < len(b) && b[state] != 'Z' && b[state] != 'X'
}

// cmdline returns the words of a command line, none for kernel threads and zombies.
func (c *scanner) cmdline(pid string) []string {
	b := c.read(pid, "cmdline")
	if len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

// read returns the beginning of a file of a process, nothing if it cannot be read. It is valid until the next read.
func (c *scanner) read(pid, file string) []byte {
	fd, err := unix.Open(c.dir+"/"+pid+"/"+file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd) //nolint:errcheck // only read
	n, err := unix.Read(fd, c.buf)
	if err != nil {
		return nil
	}
	return c.buf[:n]
}
