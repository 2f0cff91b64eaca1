package netlab

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// A thread runs functions one after the other on one OS thread of its own, which lives
// until close. It has its own root and working directory (CLONE_FS), without which the
// kernel lets no thread change its mount namespace.
//
// The parent that PR_SET_PDEATHSIG watches is a thread, not a process: children that
// shall live as long as the site are therefore started from here.
type thread struct {
	calls chan func()
	ended chan struct{}
	home  namespaces // where the thread is between calls
}

// namespaces are descriptors of one namespace of each kind; nil means "leave it".
type namespaces struct {
	net, mnt, pid *os.File
	// root is the root directory to have in mnt: entering a mount namespace moves a thread
	// to the namespace's own, which another one hides from a process under chroot(2), as
	// in an initramfs.
	root *os.File
}

func startThread() (*thread, error) {
	th := &thread{calls: make(chan func()), ended: make(chan struct{})}
	ready := make(chan error)
	onOwnThread(func() {
		defer close(th.ended)
		var err error
		if err = unix.Unshare(unix.CLONE_FS); err != nil {
			err = os.NewSyscallError("unshare", err)
		} else {
			th.home, err = currentNamespaces()
		}
		ready <- err
		if err != nil {
			return
		}
		for f := range th.calls {
			f()
		}
	})
	if err := <-ready; err != nil {
		return nil, err
	}
	return th, nil
}

// onOwnThread runs f in a goroutine on an OS thread that ends with it. It is never the
// main thread: the runtime cannot end that one, only park it for good in whatever
// namespace it is, and /proc/PID/ns shows the main thread's namespaces.
func onOwnThread(f func()) {
	go func() {
		runtime.LockOSThread() // never unlocked: this is what ends the thread
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		// As long as this goroutine keeps the main thread, others get another one.
		locked := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(locked)
			f()
		}()
		<-locked
		runtime.UnlockOSThread()
	}()
}

func (th *thread) close() {
	close(th.calls)
	<-th.ended
	th.home.close()
}

// in runs f on the thread while it is inside ns, and takes it home again.
func (th *thread) in(ns namespaces, f func() error) error {
	result := make(chan error)
	th.calls <- func() {
		err := ns.enter()
		if err == nil {
			err = f()
		}
		if back := th.home.enter(); back != nil {
			// A thread that is stuck in a wrong namespace would make every later
			// call wrong without a sign.
			panic(fmt.Sprintf("netlab: leave namespace: %v", back))
		}
		result <- err
	}
	return <-result
}

// enter moves the calling thread, and for pid its future children.
func (ns namespaces) enter() error {
	for _, n := range []struct {
		file *os.File
		kind int
		name string
	}{
		{ns.net, unix.CLONE_NEWNET, "network"},
		{ns.mnt, unix.CLONE_NEWNS, "mount"},
		{ns.pid, unix.CLONE_NEWPID, "PID"},
	} {
		if n.file == nil {
			continue
		}
		if err := unix.Setns(int(n.file.Fd()), n.kind); err != nil {
			return fmt.Errorf("enter %s namespace: %w", n.name, os.NewSyscallError("setns", err))
		}
	}
	if ns.root == nil {
		return nil
	}
	if err := unix.Fchdir(int(ns.root.Fd())); err != nil {
		return os.NewSyscallError("fchdir", err)
	}
	return os.NewSyscallError("chroot", unix.Chroot("."))
}

func (ns namespaces) close() {
	for _, f := range []*os.File{ns.net, ns.mnt, ns.pid, ns.root} {
		if f != nil {
			_ = f.Close() // a namespace descriptor has nothing to flush
		}
	}
}

// currentNamespaces opens the calling thread's own network, mount and PID namespace.
func currentNamespaces() (ns namespaces, err error) {
	for _, n := range []struct {
		file **os.File
		name string
	}{{&ns.net, "net"}, {&ns.mnt, "mnt"}, {&ns.pid, "pid"}} {
		if *n.file, err = os.Open("/proc/thread-self/ns/" + n.name); err != nil {
			ns.close()
			return namespaces{}, err
		}
	}
	if ns.root, err = openRoot("/"); err != nil {
		ns.close()
		return namespaces{}, err
	}
	return ns, nil
}

// openRoot opens a directory to be the root of namespaces.
func openRoot(dir string) (*os.File, error) {
	return os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
}

// makeHostNamespaces makes a network namespace, and a mount namespace as a copy of the
// site's with /sys and /run of its own. It must run on a thread which comes home
// afterwards.
func makeHostNamespaces(site namespaces) (ns namespaces, err error) {
	// Opened first: under the site's /proc this thread does not exist.
	dir, err := os.Open("/proc/thread-self/ns")
	if err != nil {
		return ns, err
	}
	defer dir.Close()
	if err := (namespaces{mnt: site.mnt, root: site.root}).enter(); err != nil {
		return ns, err
	}
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWNET); err != nil {
		return ns, os.NewSyscallError("unshare", err)
	}
	for _, m := range []struct{ fstype, target, data string }{
		{"sysfs", "/sys", ""}, // shows the network devices of the mounter's namespace
		{"tmpfs", "/run", "mode=0755"},
	} {
		if err := unix.Mount(m.fstype, m.target, m.fstype, 0, m.data); err != nil {
			return ns, fmt.Errorf("mount %s on %s: %w", m.fstype, m.target, err)
		}
	}
	for _, n := range []struct {
		file **os.File
		name string
	}{{&ns.net, "net"}, {&ns.mnt, "mnt"}} {
		fd, err := unix.Openat(int(dir.Fd()), n.name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			ns.close()
			return namespaces{}, fmt.Errorf("open own %s namespace: %w", n.name, err)
		}
		*n.file = os.NewFile(uintptr(fd), n.name)
	}
	if ns.root, err = openRoot("/"); err != nil {
		ns.close()
		return namespaces{}, err
	}
	return ns, nil
}

// enterNet moves the calling goroutine's thread into a network namespace and returns
// the way back. The goroutine stays locked to the thread in between.
func enterNet(target *os.File) (leave func(), err error) {
	runtime.LockOSThread()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	if err := (namespaces{net: target}).enter(); err != nil {
		_ = here.Close()
		runtime.UnlockOSThread()
		return nil, err
	}
	return func() {
		defer here.Close()
		if err := (namespaces{net: here}).enter(); err != nil {
			panic(fmt.Sprintf("netlab: leave namespace: %v", err))
		}
		runtime.UnlockOSThread()
	}, nil
}

// Available reports why sites cannot be built here, or nil. It tries what [New] needs.
// Safe for use by many goroutines.
func Available() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("network namespaces need root (running as uid %d)", os.Geteuid())
	}
	result := make(chan error)
	onOwnThread(func() { result <- unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS) })
	if err := <-result; err != nil {
		return fmt.Errorf("network namespaces need CAP_SYS_ADMIN: %w", os.NewSyscallError("unshare", err))
	}
	return nil
}
