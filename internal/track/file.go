package track

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A File holds a number that others write.
type File struct {
	Name string
	// Path of the file. A file that is missing or holds no number counts as 0.
	Path string
	// Init is written at start to a file that does not exist (Create), or in any case (Overwrite).
	Init              int
	Create, Overwrite bool
}

// fileMax is how much of a file is read.
const fileMax = 127

// ParseValue reads a number as keepalived does, with C's strtol(…, 0): blanks, a sign, digits in decimal, hexadecimal
// after 0x or octal after 0, and whatever follows. Without digits it is 0. A number of more than 32 bits is an error.
func ParseValue(text string) (int, error) {
	s := strings.TrimLeft(text, " \t\n\v\f\r")
	sign := ""
	if s != "" && (s[0] == '-' || s[0] == '+') {
		sign, s = s[:1], s[1:]
	}
	base, digits := 10, "0123456789"
	switch {
	case len(s) > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') && strings.IndexByte("0123456789abcdefABCDEF", s[2]) >= 0:
		base, digits, s = 16, "0123456789abcdefABCDEF", s[2:]
	case strings.HasPrefix(s, "0"):
		base, digits = 8, "01234567"
	}
	end := 0
	for end < len(s) && strings.IndexByte(digits, s[end]) >= 0 {
		end++
	}
	if end == 0 {
		return 0, nil
	}
	n, err := strconv.ParseInt(sign+s[:end], base, 64)
	if err != nil || n < math.MinInt32 || n > math.MaxInt32 {
		return 0, fmt.Errorf("%s%s is not a number of 32 bits", sign, s[:end])
	}
	return int(n), nil
}

// readFile returns the first bytes of a file, and none for one that does not exist.
func readFile(path string) (text string, exists bool, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0) // a FIFO without a writer reads as empty
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, fileMax))
	return string(b), true, err
}

// initialise writes the first value of a file, if there is one to write.
func (f *File) initialise() error {
	if !f.Create && !f.Overwrite {
		return nil
	}
	const mode = 0o644
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	info, err := os.Stat(f.Path)
	switch {
	case err == nil && !f.Overwrite:
		return nil
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("write %s: it is not a regular file", f.Path)
	case err == nil:
		flags = os.O_WRONLY | os.O_TRUNC
	}
	w, err := os.OpenFile(f.Path, flags, mode)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%d\n", f.Init)
	return errors.Join(err, w.Close())
}

// directories returns where changes of the file can be seen: beside its name, and beside what its name is a link to.
func (f *File) directories() []string {
	dirs := []string{filepath.Dir(f.Path)}
	if target, err := filepath.EvalSymlinks(f.Path); err == nil && filepath.Dir(target) != dirs[0] {
		dirs = append(dirs, filepath.Dir(target))
	}
	return dirs
}
