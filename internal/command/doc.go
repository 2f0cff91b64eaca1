// Package command runs the programs that a configuration names: checks, notify scripts, readers of FIFOs.
//
// A [Runner] starts a [Program] as a user of its own, in a process group of its own, and tells how it ended as a
// [Result]. Its callers never wait: what there is no room for queues, and checks (programs with a timeout) and
// notifications (programs without one) have separate room, so that scripts that hang hold up no check. A timeout is
// SIGTERM to the group and two seconds later SIGKILL. Each child is waited for.
//
// [CheckPath] says which part of a program's path somebody other than root may change, and why that is so. A Runner asks
// it again right before each run.
package command
