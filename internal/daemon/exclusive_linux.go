package daemon

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// namespaceLock is an abstract Unix socket. Such names belong to a network namespace and
// vanish with the process, so that it is a lock on the namespace that a crash cannot leave.
const namespaceLock = "@uvs-director"

// lockNamespace makes this process the namespace's only director, or says which one is.
// Closing the result ends the claim.
func lockNamespace() (*net.UnixListener, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: namespaceLock, Net: "unix"})
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("another uvs%s runs in this network namespace; stop it first", lockHolder())
	}
	if err != nil {
		return nil, fmt.Errorf("claim the network namespace: %w", err)
	}
	return l, nil
}

// lockHolder names the process that has the lock, if it tells.
func lockHolder() string {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: namespaceLock, Net: "unix"})
	if err != nil {
		return ""
	}
	defer c.Close() //nolint:errcheck // nothing was written
	raw, err := c.SyscallConn()
	if err != nil {
		return ""
	}
	pid := 0
	if raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	}) != nil || pid == 0 {
		return ""
	}
	return fmt.Sprintf(" (pid %d)", pid)
}

// otherKeepalived returns the process id of a keepalived in this network namespace, 0 if
// there is none: two programs must not both look after the virtual addresses. Of its
// processes the parent is named, as it would start the others again.
func otherKeepalived(proc string) (int, error) {
	own, err := os.Readlink(filepath.Join(proc, "self/ns/net"))
	if err != nil {
		return 0, fmt.Errorf("read own network namespace: %w", err)
	}
	entries, err := os.ReadDir(proc)
	if err != nil {
		return 0, err
	}
	parents := make(map[int]int)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() { // we may go by that name ourselves
			continue
		}
		dir := filepath.Join(proc, e.Name())
		name, parent, ok := processOf(dir)
		if !ok || name != "keepalived" {
			continue // it may have ended meanwhile
		}
		if ns, err := os.Readlink(filepath.Join(dir, "ns/net")); err == nil && ns == own {
			parents[pid] = parent
		}
	}
	for pid, parent := range parents {
		if _, child := parents[parent]; !child {
			return pid, nil
		}
	}
	return 0, nil
}

// processOf reads the name and the parent of a process from its directory in /proc. In its
// stat (proc(5)) the name stands in brackets and may hold any character.
func processOf(dir string) (name string, parent int, ok bool) {
	b, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return "", 0, false
	}
	start, end := strings.IndexByte(string(b), '('), strings.LastIndexByte(string(b), ')')
	if start < 0 || end < start {
		return "", 0, false
	}
	fields := strings.Fields(string(b[end+1:])) // state, parent …
	if len(fields) < 2 {
		return "", 0, false
	}
	parent, err = strconv.Atoi(fields[1])
	return string(b[start+1 : end]), parent, err == nil
}

// usableCPUs lists the CPUs that this process may run on.
func usableCPUs() []int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	var cpus []int
	for cpu := range 8 * len(set) * strconv.IntSize / 8 {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}
