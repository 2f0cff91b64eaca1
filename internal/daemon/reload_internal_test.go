package daemon

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"uvs/config"
	"uvs/health"
	"uvs/vrrp"
)

// TestReloadOfMovedLines: what only stands elsewhere in the file goes on. Pipes have their
// readers, and scripts and files their values.
func TestReloadOfMovedLines(t *testing.T) {
	dir := t.TempDir()
	file, pipe := filepath.Join(dir, "number"), filepath.Join(dir, "fifo")
	bind := func(before, more string) *config.Config {
		return bindVRRP(t, oneInstance(before+`
global_defs {
 `+more+`
 vrrp_notify_fifo `+pipe+`
}
vrrp_script ok {
 script /bin/true
}
track_file number {
 file `+file+`
 init_file 7 overwrite
}
`, vips+`
track_script {
 ok
}
track_file {
 number
}`), "a.conf")
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	programs := newPrograms()
	values := make(chan vrrp.ObjectChanged, 16)
	f := newFitness(log, programs, func(e vrrp.Event) {
		if o, ok := e.(vrrp.ObjectChanged); ok && o.Object.Kind == vrrp.KindFile {
			values <- o
		}
	}, func(health.Kind, string, health.Observation) {})
	h := newHerald(log, programs)
	planOf := func(c *config.Config) fitnessPlan {
		spec, _, _ := translateVRRP(c)
		return planFitness(c, &spec)
	}
	apply := func(c *config.Config) {
		programs.configure(c.Global.Scripts)
		next := planHerald(c)
		pipes, err := h.prepare(&next, programs)
		if err != nil {
			t.Error(err)
		}
		h.apply(next, pipes)
		f.apply(planOf(c))
	}
	apply(bind("", ""))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 3)
	go func() { ended <- programs.runner.Run(ctx) }()
	go func() { ended <- h.run(ctx) }()
	go func() { ended <- f.run(ctx) }()
	defer func() {
		cancel()
		for range cap(ended) {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}()
	if first := <-values; first.Value != 7 {
		t.Fatalf("the file is %d at first", first.Value)
	}
	if err := os.WriteFile(file, []byte("30\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if next := <-values; next.Value != 30 {
		t.Fatalf("the file is %d then", next.Value)
	}
	pipes := func() []*openPipe {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.pipes
	}
	patience := time.After(10 * time.Second)
	for len(pipes()) == 0 {
		select {
		case <-patience:
			t.Fatal("the pipe is not opened")
		case <-time.After(time.Millisecond):
		}
	}
	before := pipes()

	apply(bind("# a line\n", ""))
	if after := pipes(); !slices.Equal(before, after) {
		t.Errorf("the pipes were %v and are %v", before, after)
	}
	one, other := planOf(bind("", "")), planOf(bind("# a line\n", ""))
	if !one.sameTracks(&other) {
		t.Error("what is tracked begins anew")
	}

	apply(bind("", "enable_script_security"))
	if again := <-values; again.Value != 30 {
		t.Errorf("after a reload that changes something the file is %d, want it not written to again", again.Value)
	}
}
