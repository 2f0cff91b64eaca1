//go:build netns

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// envDeny makes the test program one that denies itself a kind of socket and then runs its
// arguments: "netfilter" as where nftables is not allowed, "inet6" as on a kernel without IPv6, "xdp"
// as on one without AF_XDP.
const envDeny = "E2E_DENY"

func TestMain(m *testing.M) {
	if what := os.Getenv(envDeny); what != "" {
		fmt.Fprintln(os.Stderr, denyAndExec(what))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// denied is the command line that runs another one with a kind of socket denied.
func denied(what string, command ...string) []string {
	return append([]string{"env", envDeny + "=" + what, os.Args[0]}, command...)
}

// Offsets in struct seccomp_data (seccomp(2)); of an argument, the half that holds small
// numbers.
const (
	seccompCall  = 0
	seccompArg0  = 16
	seccompArg2  = 32
	bigEndianLow = 4
)

// denyAndExec replaces the program by its arguments, behind a filter of system calls which
// all it starts inherit. It returns only with an error.
func denyAndExec(what string) error {
	runtime.LockOSThread()
	low := uint32(0)
	if one := uint16(1); *(*byte)(unsafe.Pointer(&one)) == 0 {
		low = bigEndianLow
	}
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	unless := func(value uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: value, Jf: skip}
	}
	end := func(value uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: value}
	}
	family, protocol, errno := uint32(unix.AF_INET6), uint32(0), unix.EAFNOSUPPORT
	switch what {
	case "netfilter":
		family, protocol, errno = unix.AF_NETLINK, unix.NETLINK_NETFILTER, unix.EPERM
	case "xdp":
		family = unix.AF_XDP
	}
	filter := []unix.SockFilter{
		load(seccompCall), unless(unix.SYS_SOCKET, 5),
		load(seccompArg0 + low), unless(family, 3),
		load(seccompArg2 + low), unless(protocol, 1),
		end(unix.SECCOMP_RET_ERRNO | uint32(errno)),
		end(unix.SECCOMP_RET_ALLOW),
	}
	if what != "netfilter" { // of any protocol
		filter[4], filter[5] = filter[6], filter[6]
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return fmt.Errorf("deny %s sockets: %w", what, err)
	}
	path, err := exec.LookPath(os.Args[1])
	if err != nil {
		return err
	}
	return syscall.Exec(path, os.Args[1:], withoutDeny(os.Environ()))
}

// withoutDeny keeps what is started from being taken for the test program.
func withoutDeny(env []string) []string {
	return slices.DeleteFunc(env, func(s string) bool { return strings.HasPrefix(s, envDeny+"=") })
}
