package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// maxLinks bounds the symbolic links of one path, as the kernel does.
const maxLinks = 40

// An UnsafeError says why a path cannot be trusted.
type UnsafeError struct {
	Path string // as it was given
	Part string // the file or directory that somebody else may change
	Why  string // such as "is owned by user 1000"
}

// Error returns such as "/opt/check.sh: /opt is writable by group 50 (mode 0775)".
func (e *UnsafeError) Error() string {
	if e.Part == e.Path {
		return e.Path + " " + e.Why
	}
	return fmt.Sprintf("%s: %s %s", e.Path, e.Part, e.Why)
}

// CheckPath looks at each directory on the way to a file and at the file, through symbolic links, and returns an
// [*UnsafeError] for the first that others than root may change: another user owns it, or a group other than root's or
// everybody may write to it. A directory with the sticky bit, as /tmp, protects what is in it. These are the rules of
// keepalived 2.2.7 (lib/notify.c, check_security). A path that does not exist, is relative or leads to no regular file
// is an error of another kind.
func CheckPath(name string) error {
	if !path.IsAbs(name) {
		return fmt.Errorf("%s is not an absolute path", name)
	}
	c := pathCheck{name: name}
	return c.walk("/", strings.Split(name, "/"))
}

// A pathCheck is one CheckPath under way.
type pathCheck struct {
	name  string
	links int
}

// walk checks dir and then, one after the other, what the parts lead to.
func (c *pathCheck) walk(dir string, parts []string) error {
	info, err := c.check(dir)
	if err != nil {
		return err
	}
	at := dir
	for i, part := range parts {
		if part == "" || part == "." {
			continue
		}
		if !info.IsDir() {
			return fmt.Errorf("%s: %s is not a directory", c.name, at)
		}
		at = path.Join(at, part) // links are resolved, so that ".." is the directory above
		if info, err = c.check(at); err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			continue
		}
		if c.links++; c.links > maxLinks {
			return fmt.Errorf("%s: %w", c.name, syscall.ELOOP)
		}
		target, err := os.Readlink(at)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		from := path.Dir(at)
		if path.IsAbs(target) {
			from = "/"
		}
		return c.walk(from, append(strings.Split(target, "/"), parts[i+1:]...))
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: %s is not a regular file", c.name, at)
	}
	return nil
}

// check looks at one file or directory.
func (c *pathCheck) check(at string) (fs.FileInfo, error) {
	info, err := os.Lstat(at)
	if err != nil {
		var cause *fs.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return nil, fmt.Errorf("%s: %s: %w", c.name, at, err)
	}
	if why := changeable(info); why != "" {
		return nil, &UnsafeError{Path: c.name, Part: at, Why: why}
	}
	return info, nil
}

// changeable says why others than root may change a file or directory, "" if they may not.
func changeable(info fs.FileInfo) string {
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "has no owner"
	}
	const groupWrites, othersWrite = 0o020, 0o002
	mode := info.Mode()
	switch {
	case owner.Uid != 0:
		return fmt.Sprintf("is owned by user %d", owner.Uid)
	case mode&fs.ModeSymlink != 0, mode.IsDir() && mode&fs.ModeSticky != 0:
		return ""
	case mode&othersWrite != 0:
		return fmt.Sprintf("is writable by everybody (mode %04o)", mode.Perm())
	case mode&groupWrites != 0 && owner.Gid != 0:
		return fmt.Sprintf("is writable by group %d (mode %04o)", owner.Gid, mode.Perm())
	}
	return ""
}

// protect is CheckPath for programs that run with root's rights: as root, in its group, or by a set-id bit.
func protect(name string, as *Credential) error {
	var info fs.FileInfo
	var err error
	if info, err = os.Stat(name); err != nil {
		return err
	}
	uid, gid := uint32(os.Geteuid()), uint32(os.Getegid())
	if as != nil {
		uid, gid = as.UID, as.GID
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	setID := ok && (owner.Uid == 0 && info.Mode()&fs.ModeSetuid != 0 || owner.Gid == 0 && info.Mode()&fs.ModeSetgid != 0)
	if uid != 0 && gid != 0 && !setID {
		return nil
	}
	return CheckPath(name)
}

// shortage reports whether the system had nothing to spare.
func shortage(err error) bool {
	for _, e := range []error{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.ENOSPC} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
