// Command uvs replaces the kernel's IPVS, keepalived's checks and ipvsadm with one
// program: `uvs run` is the director, and the other commands ask it. Called by the
// file names ipvsadm and keepalived it answers their command lines.
//
// Exit statuses are 0 for success, 1 for an error or a negative verdict, 2 for a
// command line that is not understood, and ipvsadm's own where ipvsadm is spoken.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	exitError = 1
	exitUsage = 2
)

func main() {
	os.Exit(start(process{args: os.Args, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.LookupEnv}, wired()))
}

// A process is what the operating system gives us.
type process struct {
	args           []string // with the program's name
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(name string) (string, bool)
}

// start dispatches on the program's file name, runs the command line until it is
// done or a signal ends it, and returns the exit status.
func start(p process, a actions) int {
	ctx, stop := untilSignal()
	defer stop()
	args := p.args[1:]
	if filepath.Base(p.args[0]) == "ipvsadm" {
		return runIpvsadm(ctx, p, p.args[0], runDirOf(p), args)
	}
	if filepath.Base(p.args[0]) == "keepalived" {
		args = append([]string{"keepalived"}, args...)
	}
	root := newRoot(p, a)
	root.SetArgs(args)
	return report(p.stderr, root.ExecuteContext(ctx))
}

// untilSignal returns a context that the first SIGINT or SIGTERM cancels. The
// second one ends the process as the signal itself would, without cleaning up.
func untilSignal() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
			return
		}
		if s, ok := <-signals; ok {
			os.Exit(128 + int(s.(syscall.Signal)))
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel()
		close(signals)
		<-done
	}
}

// An exitStatus is an error that was already told to the user.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// A usageError is a command line that is not understood.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// report tells the user of err in one line and returns the exit status.
func report(w io.Writer, err error) int {
	var status exitStatus
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	}
	fmt.Fprintf(w, "uvs: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitError
}
