package track_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uvs/internal/track"
)

func TestParseValue(t *testing.T) {
	for _, c := range []struct {
		text string
		want int
	}{
		{"", 0}, {"\n", 0}, {"5", 5}, {"5\n", 5}, {" \t\n-7 and more", -7}, {"+3", 3}, {"12abc", 12}, {"abc", 0},
		{"0x1F", 31}, {"0x", 0}, {"0xg", 0}, {"010", 8}, {"09", 0}, {"-0x10", -16}, {"--1", 0}, {"- 1", 0}, {"1.9", 1}, {"254", 254},
		{"2147483647", 2147483647}, {"-2147483648", -2147483648}, {"0", 0}, {"\x005", 0}, {"1_000", 1},
	} {
		if got, err := track.ParseValue(c.text); err != nil || got != c.want {
			t.Errorf("%q: %d, %v, want %d", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{"2147483648", "-2147483649", "99999999999999999999999"} {
		if got, err := track.ParseValue(text); err == nil || !strings.Contains(err.Error(), "is not a number of 32 bits") {
			t.Errorf("%q: %d, %v, want an error", text, got, err)
		}
	}
}

func FuzzParseValue(f *testing.F) {
	for _, s := range []string{"", "5\n", "0x1f", "-010", "9999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := track.ParseValue(s)
		if err == nil && (n > 1<<31-1 || n < -1<<31) {
			t.Errorf("%q: %d", s, n)
		}
	})
}

// follow tracks files until the test ends.
func follow(t *testing.T, interval time.Duration, files ...track.File) <-chan track.Event {
	t.Helper()
	events := make(chan track.Event, 100)
	set := track.NewSet(track.Options{OnEvent: func(e track.Event) { events <- e }, FileInterval: interval}, nil, files, nil)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- set.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return events
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func wantValue(t *testing.T, what string, events <-chan track.Event, value int) {
	t.Helper()
	if e := next(t, events); !e.Changed || e.Value != value || e.Message != "" || e.Kind != track.KindFile || e.Name != "f" {
		t.Errorf("%s: %+v, want %d", what, e, value)
	}
}

// TestFileIsWatched: no look at the file is due within the test.
func TestFileIsWatched(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	events := follow(t, time.Hour, track.File{Name: "f", Path: file})
	wantValue(t, "missing", events, 0)
	write(t, file, "5\n")
	wantValue(t, "created", events, 5)
	write(t, file, "5 the same\n")
	write(t, file, "-3\n")
	wantValue(t, "written", events, -3)
	write(t, filepath.Join(dir, "new"), "7\n")
	if err := os.Rename(filepath.Join(dir, "new"), file); err != nil {
		t.Fatal(err)
	}
	wantValue(t, "moved there", events, 7)
	write(t, file, "99999999999")
	if e := next(t, events); e.Changed || e.Value != 7 || !strings.HasPrefix(e.Message, "Invalid number read from "+file+": 99999999999 ") {
		t.Errorf("no number: %+v, want the old one kept", e)
	}
	write(t, file, "8")
	wantValue(t, "a number again", events, 8)
	write(t, file, "")
	wantValue(t, "emptied", events, 0)
	write(t, file, "8")
	wantValue(t, "filled", events, 8)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	wantValue(t, "removed", events, 0)
	target := filepath.Join(t.TempDir(), "target")
	write(t, target, "4")
	if err := os.Symlink(target, file); err != nil {
		t.Fatal(err)
	}
	// A link is made without a word to who watches for closed files; it is found when something else happens there.
	write(t, filepath.Join(dir, "new"), "4")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "link"), file); err != nil {
		t.Fatal(err)
	}
	wantValue(t, "a link", events, 4)
	write(t, target, "6")
	wantValue(t, "what it leads to", events, 6)
}

// TestFileIsPolled where there is no directory to watch, and watched when there is one.
func TestFileIsPolled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	file := filepath.Join(dir, "f")
	events := follow(t, 10*time.Millisecond, track.File{Name: "f", Path: file})
	wantValue(t, "no directory", events, 0)
	for range 2 {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, file, "5")
		wantValue(t, "created", events, 5)
		write(t, file, "6")
		wantValue(t, "written", events, 6)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		wantValue(t, "removed with its directory", events, 0)
	}
}

func TestFileIsInitialised(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name, before      string
		create, overwrite bool
		value             int
		after             string
	}{
		{"created", "", true, false, 5, "5\n"},
		{"kept", "7", true, false, 7, "7"},
		{"overwritten", "7", false, true, 5, "5\n"},
		{"left alone", "", false, false, 0, ""},
	} {
		file := filepath.Join(dir, c.name)
		if c.before != "" {
			write(t, file, c.before)
		}
		events := follow(t, time.Hour, track.File{Name: "f", Path: file, Init: 5, Create: c.create, Overwrite: c.overwrite})
		wantValue(t, c.name, events, c.value)
		if text, _ := os.ReadFile(file); string(text) != c.after {
			t.Errorf("%s: holds %q, want %q", c.name, text, c.after)
		}
	}
	for _, path := range []string{filepath.Join(dir, "none", "f"), dir} {
		events := follow(t, time.Hour, track.File{Name: "f", Path: path, Overwrite: true})
		if e := next(t, events); !strings.HasPrefix(e.Message, "Unable to initialise track file f: ") {
			t.Errorf("%s: %+v, want it said that it cannot be written", path, e)
		}
	}
}
