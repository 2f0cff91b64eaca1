package router

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uvs/vrrp"
)

// run runs a Router without sockets until stop is called.
func run(t *testing.T, spec vrrp.Spec) (r *Router, stop func()) {
	t.Helper()
	r, err := New(Options{Spec: spec, OnEffects: func([]vrrp.Effect) {}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	return r, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestAfterTheEnd: who comes too late waits for nothing, and writes to no descriptor that is
// another's by now.
func TestAfterTheEnd(t *testing.T) {
	r, stop := run(t, vrrp.Spec{Instances: []vrrp.Instance{{Name: "VI", Version: 2, VRID: 51, Priority: 100, AdvertInterval: time.Second, DownTimerAdverts: 3}}})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if got := r.Status(ctx); len(got) != 1 {
		t.Fatalf("while it runs the status is %v", got)
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := unix.Dup3(pipe[1], r.loop.wakeFD, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, fd := range []int{pipe[0], pipe[1], r.loop.wakeFD} {
			_ = unix.Close(fd)
		}
	}()
	r.Tell(vrrp.Tick{})
	if got := r.Status(ctx); got != nil {
		t.Errorf("after the end the status is %v", got)
	}
	r.Settle(ctx)
	r.Stop(ctx)
	if ctx.Err() != nil {
		t.Error("they waited for the thread that has ended")
	}
	if n, err := unix.Read(pipe[0], make([]byte, 8)); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("a descriptor of others was written to: %d bytes, %v", n, err)
	}
}
