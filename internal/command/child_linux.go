package command

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// opened returns the file of a command that only opens one: "</run/ready".
func opened(args []string) (file string, ok bool) {
	rest, ok := strings.CutPrefix(args[0], "<")
	if !ok || len(args) != 1 {
		return "", false
	}
	file = strings.TrimLeft(rest, " \t")
	return file, strings.HasPrefix(file, "/")
}

// spawn starts a program with nothing but /dev/null open, in the root directory and a process group of its own. It ends
// when we are killed. A file in no format that the kernel knows goes to the shell.
func spawn(args []string, as *Credential) (*exec.Cmd, error) {
	cmd, err := spawnExactly(args, as)
	if errors.Is(err, unix.ENOEXEC) {
		cmd, err = spawnExactly(append([]string{"/bin/sh"}, args...), as)
	}
	var cause *fs.PathError
	if errors.As(err, &cause) && cause.Op == "fork/exec" {
		cause.Op = "run"
	}
	return cmd, err
}

func spawnExactly(args []string, as *Credential) (*exec.Cmd, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGTERM}
	if as != nil && (int(as.UID) != os.Geteuid() || int(as.GID) != os.Getegid() || os.Geteuid() == 0) {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: as.UID, Gid: as.GID, Groups: as.Groups}
	}
	return cmd, cmd.Start()
}

// supervise waits for a program and ends it where that is due.
func (r *Runner) supervise(cmd *exec.Cmd, j *job) Result {
	pid := cmd.Process.Pid
	ended := make(chan struct{})
	go func() {
		awaitEnd(pid)
		close(ended)
	}()
	timer := time.NewTimer(j.Timeout)
	defer timer.Stop()
	timeout := timer.C
	var stopping chan struct{}
	if j.Timeout > 0 {
		stopping = r.stopping
	} else {
		timeout = nil
	}
	unwanted, killing := j.ctx.Done(), r.killing
	ours := Exited // TimedOut or Stopped once it was told to end
	var kill <-chan time.Time
	end := func(o Outcome) {
		ours, timeout, unwanted, stopping = o, nil, nil, nil
		signalGroup(pid, unix.SIGTERM)
		timer.Reset(KillDelay)
		kill = timer.C
	}
	for {
		select {
		case <-ended:
			if ours != Exited {
				signalGroup(pid, unix.SIGKILL) // what the program has left behind
			}
			return result(cmd, ours)
		case <-timeout:
			end(TimedOut)
		case <-unwanted:
			end(Stopped)
		case <-stopping:
			end(Stopped)
		case <-kill:
			kill = nil
			signalGroup(pid, unix.SIGKILL)
		case <-killing:
			killing = nil
			if ours == Exited {
				ours = Stopped
			}
			signalGroup(pid, unix.SIGKILL)
		}
	}
}

// awaitEnd waits for the end of a child and leaves it to be waited for: until then its number, which is that of its
// group, is nobody else's.
func awaitEnd(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// signalGroup signals a process group that has not been waited for. That a program which ended as another user's
// set-id program cannot be signalled is nothing we could change.
func signalGroup(pid int, sig syscall.Signal) {
	_ = unix.Kill(-pid, sig)
}

// result waits for a child that has ended.
func result(cmd *exec.Cmd, ours Outcome) Result {
	_ = cmd.Wait() // its ProcessState says more
	if ours != Exited {
		return Result{Outcome: ours}
	}
	ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case ok && ws.Signaled():
		return Result{Outcome: Signalled, Status: int(ws.Signal())}
	default:
		return Result{Outcome: Exited, Status: cmd.ProcessState.ExitCode()}
	}
}
