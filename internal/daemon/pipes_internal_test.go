package daemon

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestPipeOfTheSamePath: one that takes the place of another gets the lines that come meanwhile, and
// nobody waits for it.
func TestPipeOfTheSamePath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	bind := func(word string) heraldPlan {
		return planHerald(bindVRRP(t, oneInstance("global_defs {\n "+word+" "+path+"\n}\n", vips), "a.conf"))
	}
	programs := newPrograms()
	h := newHerald(slog.New(slog.NewTextHandler(io.Discard, nil)), programs)
	h.apply(bind("vrrp_notify_fifo"), nil)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	patience := time.After(10 * time.Second)
	until := func(what string, done func() bool) {
		t.Helper()
		for !done() {
			select {
			case <-patience:
				t.Fatal(what)
			case <-time.After(time.Millisecond):
			}
		}
	}
	until("the pipe is not made", func() bool { _, err := os.Stat(path); return err == nil })
	next := bind("notify_fifo")
	pipes, err := h.prepare(&next, programs)
	if err != nil {
		t.Fatal(err)
	}
	h.apply(next, pipes)
	h.mu.Lock()
	h.write("a line\n", func(p *fifoPlan) bool { return p.servers })
	h.mu.Unlock()
	until("the pipe is not opened again", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.pipes[0].pipe != nil
	})
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(f).ReadString('\n'); err != nil || line != "a line\n" {
		t.Errorf("the pipe has %q (%v)", line, err)
	}
}
