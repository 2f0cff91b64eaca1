package fifo_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"uvs/internal/command"
	"uvs/internal/fifo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// messages collects what a Pipe says.
type messages struct {
	mu   sync.Mutex
	said []string
}

func (m *messages) add(s string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said = append(m.said, s)
}

func (m *messages) all() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.said
}

// runPipe opens a FIFO and runs it until stop is called or the test ends.
func runPipe(t *testing.T, c fifo.Config, o fifo.Options) (p *fifo.Pipe, stop func()) {
	t.Helper()
	p, err := fifo.Open(c, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Run did not return")
		}
	})
	t.Cleanup(stop)
	return p, stop
}

func TestLinesReachReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	var m messages
	p, stop := runPipe(t, fifo.Config{Path: path}, fifo.Options{OnMessage: m.add})
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != fs.ModeNamedPipe|0o600 {
		t.Fatalf("made as %v, %v, want prw-------", info.Mode(), err)
	}
	p.Write("before the reader\n") // is not lost
	r, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// Many write at once, as instances share a FIFO; each line is whole.
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 100 {
				p.Write(fmt.Sprintf("INSTANCE \"%d\" MASTER %d\n", w, i))
			}
		})
	}
	in := bufio.NewScanner(r)
	next := make(map[string]int)
	for n := 0; n < 401 && in.Scan(); n++ {
		if n == 0 {
			if in.Text() != "before the reader" {
				t.Errorf("first line %q", in.Text())
			}
			continue
		}
		var name string
		var i int
		if _, err := fmt.Sscanf(in.Text(), "INSTANCE %q MASTER %d", &name, &i); err != nil || i != next[name] {
			t.Fatalf("line %d: %q, %v, want number %d", n, in.Text(), err, next[name])
		}
		next[name]++
	}
	writers.Wait()
	stop()
	if in.Scan() {
		t.Errorf("after the end: %q", in.Text())
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what we made is still there: %v", err)
	}
	if p.Lost() != 0 || len(m.all()) != 0 {
		t.Errorf("%d lost, said %q", p.Lost(), m.all())
	}
	p.Write("too late\n")
	if p.Lost() != 1 {
		t.Errorf("a line after the end: %d lost, want 1", p.Lost())
	}
}

// TestFullPipe: writers never wait, and hear no more of it than once.
func TestFullPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	var m messages
	p, _ := runPipe(t, fifo.Config{Path: path}, fifo.Options{OnMessage: m.add})
	line := strings.Repeat("x", 999) + "\n"
	const lines = 200
	for range lines {
		p.Write(line)
	}
	r, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	in := bufio.NewReader(r)
	kept := lines - int(p.Lost())
	if kept < 10 || kept > 66 {
		t.Errorf("%d lines of 1000 bytes in a pipe of 64 KiB", kept)
	}
	for range kept {
		if got, err := in.ReadString('\n'); err != nil || got != line {
			t.Fatalf("%d bytes, %v, want a whole line", len(got), err)
		}
	}
	p.Write("again\n")
	if got, err := in.ReadString('\n'); err != nil || got != "again\n" {
		t.Errorf("after room was made: %q, %v", got, err)
	}
	p.Write(strings.Repeat("x", fifo.LineMax) + "\n")
	if want := "fifo " + path + " loses lines: it is full, as nobody reads it"; len(m.all()) != 1 || m.all()[0] != want {
		t.Errorf("said %q, want %q once", m.all(), want)
	}
	if int(p.Lost()) != lines-kept+1 {
		t.Errorf("%d lost, want %d", p.Lost(), lines-kept+1)
	}
}

func TestExistingFIFOStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o640); err != nil {
		t.Fatal(err)
	}
	_, stop := runPipe(t, fifo.Config{Path: path, Owner: &command.Credential{UID: 1, GID: 1}}, fifo.Options{})
	stop()
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != fs.ModeNamedPipe|0o640 || info.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) {
		t.Errorf("afterwards %v, %v, want it as it was", info, err)
	}
}

// TestReplacedFIFOStays: what has our name but is not ours is not removed.
func TestReplacedFIFOStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	_, stop := runPipe(t, fifo.Config{Path: path}, fifo.Options{})
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "target"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("target", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		file:                               file + " is not a FIFO",
		filepath.Join(dir, "link"):         filepath.Join(dir, "link") + " is not a FIFO",
		filepath.Join(dir, "none", "fifo"): "make FIFO " + filepath.Join(dir, "none", "fifo") + ": no such file or directory",
	} {
		if _, err := fifo.Open(fifo.Config{Path: path}, fifo.Options{}); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}

func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a FIFO away")
	}
	path := filepath.Join(t.TempDir(), "fifo")
	runPipe(t, fifo.Config{Path: path, Owner: &command.Credential{UID: 12, GID: 34}}, fifo.Options{})
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); s.Uid != 12 || s.Gid != 34 {
		t.Errorf("owned by %d:%d, want 12:34", s.Uid, s.Gid)
	}
}

// TestReader: it gets the path as its last argument, is started again, and reads what was written last before the end.
func TestReader(t *testing.T) {
	dir := t.TempDir()
	path, out := filepath.Join(dir, "fifo"), filepath.Join(dir, "out")
	ctx, cancel := context.WithCancel(context.Background())
	r := command.NewRunner(command.Options{})
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	var m messages
	// The first reader takes a line and dies, the second stays.
	p, stop := runPipe(t, fifo.Config{Name: "vrrp", Path: path, Reader: &command.Program{Args: []string{"/bin/sh", "-c",
		`echo "$1 $#" >>` + out + `; if [ ! -e ` + out + `.first ]; then : >` + out + `.first; read l <"$2"; echo "$l" >>` + out + `; exit 3; fi
		exec <"$2"; while read l; do echo "$l" >>` + out + `; done; echo end >>` + out, "sh", "an argument"}}},
		fifo.Options{Start: r.Start, OnMessage: m.add})
	wait := func(what, want string) {
		t.Helper()
		deadline := time.After(20 * time.Second)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			text, _ := os.ReadFile(out)
			if string(text) == want {
				return
			}
			select {
			case <-deadline:
				t.Fatalf("%s: %q, want %q", what, text, want)
			case <-tick.C:
			}
		}
	}
	p.Write("one\n")
	wait("first reader", "an argument 2\none\n")
	wait("second reader", "an argument 2\none\nan argument 2\n")
	for i := range 500 {
		p.Write(fmt.Sprintf("line %d\n", i))
	}
	began := time.Now()
	stop()
	if took := time.Since(began); took > command.StopGrace {
		t.Errorf("the end took %v though the reader ended by itself", took)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(text), "line 499\nend\n") || strings.Count(string(text), "line") != 500 {
		t.Errorf("the reader's last words: %q", text[max(0, len(text)-40):])
	}
	if want := "vrrp notify fifo script terminated (exited with status 3), started again in 1s"; len(m.all()) != 1 || m.all()[0] != want {
		t.Errorf("said %q, want %q", m.all(), want)
	}
}

// TestReaderPauses double, and start anew after a reader that lasted.
func TestReaderPauses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var starts []time.Duration
		lasts := []time.Duration{0, 0, 0, 0, 0, 0, 0, 0, 2 * time.Minute, 0}
		o := fifo.Options{Start: func(ctx context.Context, p command.Program, done func(command.Result)) error {
			starts = append(starts, time.Since(began))
			if len(starts) > len(lasts) {
				return command.ErrBusy
			}
			go func() {
				last := lasts[len(starts)-1]
				time.Sleep(last)
				done(command.Result{Outcome: command.Exited, Took: last})
			}()
			return nil
		}}
		p, err := fifo.Open(fifo.Config{Path: path, Reader: &command.Program{Args: []string{"x"}}}, o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		time.Sleep(408 * time.Second)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		got := fmt.Sprint(starts)
		// 1+2+4+8+16+32+60+60 = 183; then two minutes, and 1, 2, 4, 8, …
		if want := "[0s 1s 3s 7s 15s 31s 1m3s 2m3s 3m3s 5m4s 5m6s 5m10s 5m18s 5m34s 6m6s]"; got != want {
			t.Errorf("started at %s, want %s", got, want)
		}
	})
}
