package track

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"uvs/internal/mono"
)

// watched are the changes of a directory that may change a file: keepalived's, and the end of the directory.
const watched = unix.IN_CLOSE_WRITE | unix.IN_DELETE | unix.IN_MOVE | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

// settle is how long a file must have been empty before it counts as 0: who writes one truncates it first.
const settle = 100 * time.Millisecond

// A trackedFile is a file and what was last read from it.
type trackedFile struct {
	*File
	known   bool
	value   int
	trouble string    // the last message about it, so that it is said once
	empty   mono.Time // since when there is nothing in it, 0 if there is
	watched bool      // all its directories are
}

// runFiles reads files when their directories change, and now and then in case nothing is told.
func (s *Set) runFiles(ctx context.Context) {
	files := make([]*trackedFile, len(s.files))
	for i := range s.files {
		files[i] = &trackedFile{File: &s.files[i]}
		if err := s.files[i].initialise(); err != nil {
			s.tell(ctx, Event{Kind: KindFile, Name: s.files[i].Name, Time: mono.Now(),
				Message: fmt.Sprintf("Unable to initialise track file %s: %v", s.files[i].Name, err)})
		}
	}
	w, err := newWatcher()
	if err != nil {
		s.tell(ctx, Event{Kind: KindFile, Time: mono.Now(),
			Message: fmt.Sprintf("files are looked at every %v, as changes cannot be watched: %v", s.opts.FileInterval, err)})
	}
	defer w.close()
	tick := time.NewTicker(s.opts.FileInterval)
	defer tick.Stop()
	again := time.NewTimer(settle)
	defer again.Stop()
	look := func(f *trackedFile) {
		f.watched = w.watch(f.directories())
		s.tell(ctx, f.read(mono.Now())...)
		if f.empty != 0 {
			again.Reset(settle)
		}
	}
	for _, f := range files {
		look(f)
	}
	for ticks := 1; ; {
		var due func(*trackedFile) bool
		select {
		case <-ctx.Done():
			return
		case c := <-w.changes:
			due = func(f *trackedFile) bool { return c.concerns(f.File) }
		case <-again.C:
			due = func(f *trackedFile) bool { return f.empty != 0 && f.value != 0 }
		case <-tick.C:
			ticks++
			due = func(f *trackedFile) bool { return !f.watched || ticks%FileSafety == 0 }
		}
		for _, f := range files {
			if due(f) {
				look(f)
			}
		}
	}
}

// read looks at the file.
func (f *trackedFile) read(now mono.Time) []Event {
	text, exists, err := readFile(f.Path)
	value := 0
	if err == nil {
		value, err = ParseValue(text)
	}
	if err != nil {
		return f.unreadable(now, err)
	}
	f.trouble = ""
	switch blank := exists && strings.TrimSpace(text) == ""; {
	case !blank:
		f.empty = 0
	case f.empty == 0:
		f.empty = now
	}
	unchanged := f.known && value == f.value
	if unchanged || f.known && f.empty != 0 && now.Sub(f.empty) < settle {
		return nil
	}
	f.known, f.value = true, value
	return []Event{{Kind: KindFile, Name: f.Name, Changed: true, Value: value, Time: now}}
}

// unreadable keeps the value of a file that holds none, and says so once. The first value is 0.
func (f *trackedFile) unreadable(now mono.Time, err error) []Event {
	if f.trouble == err.Error() {
		return nil
	}
	e := Event{Kind: KindFile, Name: f.Name, Changed: !f.known, Value: f.value, Time: now,
		Message: fmt.Sprintf("Invalid number read from %s: %v - ignoring", f.Path, err)}
	f.trouble, f.known, f.empty = err.Error(), true, 0
	return []Event{e}
}

// A change is what happened in a directory; name is "" for the directory itself.
type change struct{ dir, name string }

// concerns reports whether a change may be one of a file.
func (c change) concerns(f *File) bool {
	if c.dir == "" { // some were lost
		return true
	}
	for _, dir := range f.directories() {
		if dir != c.dir {
			continue
		}
		if c.name == "" || c.name == filepath.Base(f.Path) {
			return true
		}
		if target, err := filepath.EvalSymlinks(f.Path); err == nil && filepath.Base(target) == c.name {
			return true
		}
	}
	return false
}

// A watcher tells of changes in directories. Its zero value tells nothing.
type watcher struct {
	fd      int
	file    *os.File      // of fd, nil without
	changes chan change   // unbuffered
	done    chan struct{} // closed by close
	reader  sync.WaitGroup

	mu   sync.Mutex // guards dirs
	dirs map[int32]string
}

func newWatcher() (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return &watcher{}, fmt.Errorf("inotify: %w", err)
	}
	w := &watcher{
		fd: fd, file: os.NewFile(uintptr(fd), "inotify"), changes: make(chan change), done: make(chan struct{}), dirs: make(map[int32]string),
	}
	w.reader.Go(w.read)
	return w, nil
}

// watch watches directories and reports whether all of them are. To watch one twice is no more than once.
func (w *watcher) watch(dirs []string) bool {
	if w.file == nil {
		return false
	}
	all := true
	for _, dir := range dirs {
		wd, err := unix.InotifyAddWatch(w.fd, dir, watched)
		if err != nil {
			all = false
			continue
		}
		w.mu.Lock()
		w.dirs[int32(wd)] = dir
		w.mu.Unlock()
	}
	return all
}

// read passes changes on until the watcher is closed.
func (w *watcher) read() {
	const room = 64 << 10
	buf := make([]byte, room)
	for {
		n, err := w.file.Read(buf)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		for b := buf[:max(n, 0)]; len(b) >= unix.SizeofInotifyEvent; {
			wd, mask, size := int32(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint32(b[4:]), binary.NativeEndian.Uint32(b[12:])
			name, _, _ := strings.Cut(string(b[unix.SizeofInotifyEvent:][:size]), "\x00")
			b = b[unix.SizeofInotifyEvent+size:]
			c, ok := w.change(wd, mask, name)
			if !ok {
				continue
			}
			select {
			case w.changes <- c:
			case <-w.done:
				return
			}
		}
	}
}

// change translates what the kernel tells.
func (w *watcher) change(wd int32, mask uint32, name string) (c change, ok bool) {
	if mask&unix.IN_Q_OVERFLOW != 0 {
		return change{}, true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	dir, ok := w.dirs[wd]
	switch {
	case mask&unix.IN_IGNORED != 0: // the directory is gone
		delete(w.dirs, wd)
	case mask&unix.IN_MOVE_SELF != 0: // it has another name, which is nobody's
		_, _ = unix.InotifyRmWatch(w.fd, uint32(wd)) // it may be gone meanwhile
	}
	return change{dir: dir, name: name}, ok
}

func (w *watcher) close() {
	if w.file == nil {
		return
	}
	close(w.done)
	w.file.Close() //nolint:errcheck // nothing was written
	w.reader.Wait()
}
