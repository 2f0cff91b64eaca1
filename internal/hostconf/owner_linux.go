package hostconf

import (
	"io/fs"
	"syscall"
)

// changeable reports whether others than root may write to a file or directory: it is owned
// by another user, or writable by a group other than root's, or by everybody. A sticky
// directory such as /tmp protects what is in it.
func changeable(info fs.FileInfo) bool {
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	mode := info.Mode()
	return owner.Uid != 0 || mode&0o020 != 0 && owner.Gid != 0 || mode&0o002 != 0 && (!mode.IsDir() || mode&fs.ModeSticky == 0)
}
