// Package netlab builds whole sites of clients, directors and real servers on one
// machine, out of network namespaces, for tests, the demo and benchmarks.
//
// # What is left behind
//
// Nothing, however the process ends. Namespaces have no name in the file system: they
// live only as descriptors of this process. Every process of a site runs in the site's
// own PID namespace, whose first process is a child of ours that the kernel kills when
// the site's thread dies (PR_SET_PDEATHSIG) and that also ends when our end of its
// standard input closes. With it the kernel kills everything in the site, daemons that
// detached themselves included. A panic, os.Exit, an interrupt and SIGKILL are all the
// same.
//
// # What a host sees
//
// A [Host] has a network namespace and a mount namespace of its own: /proc shows the
// processes of the site, /sys the interfaces of the host, and /run is empty and private,
// so that daemons with fixed pid files and sockets do not meet. All other files are the
// machine's. The PIDs that a process of the site sees (and writes to a pid file) are not
// the machine's; [Process.Pid] is.
//
// The package needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN) and Linux. It does not import
// testing: tests use package labtest on top of it.
package netlab
