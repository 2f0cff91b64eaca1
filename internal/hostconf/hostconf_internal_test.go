package hostconf

import (
	"io/fs"
	"maps"
	"slices"
	"syscall"
	"testing"
	"testing/fstest"

	"uvs/config"
)

func TestPrograms(t *testing.T) {
	file := func(mode fs.FileMode, uid, gid uint32) *fstest.MapFile {
		return &fstest.MapFile{Mode: mode, Sys: &syscall.Stat_t{Uid: uid, Gid: gid}}
	}
	root := fstest.MapFS{
		"bin":            file(fs.ModeDir|0o755, 0, 0),
		"bin/good":       file(0o755, 0, 0),
		"bin/everybodys": file(0o757, 0, 0),
		"bin/groups":     file(0o775, 0, 50),
		"bin/roots":      file(0o775, 0, 0),
		"bin/somebodys":  file(0o755, 1000, 0),
		"tmp":            file(fs.ModeDir|fs.ModeSticky|0o777, 0, 0),
		"tmp/good":       file(0o755, 0, 0),
		"open":           file(fs.ModeDir|0o777, 0, 0),
		"open/good":      file(0o755, 0, 0),
		"bin/later/only": file(0o755, 0, 0),
	}
	want := map[string]config.Program{
		"/bin/good":       {},
		"/bin/everybodys": {Unsafe: "/bin/everybodys"},
		"/bin/groups":     {Unsafe: "/bin/groups"},
		"/bin/roots":      {},
		"/bin/somebodys":  {Unsafe: "/bin/somebodys"},
		"/tmp/good":       {},
		"/open/good":      {Unsafe: "/open"},
		"/bin":            {Missing: true}, // a directory
		"/bin/none":       {Missing: true},
		"good":            {},
		"only":            {},
		"none":            {Missing: true},
		"./good":          {Missing: true}, // the working directory is nobody's to rely on
	}
	got := programs(root, []string{"/bin", "/bin/later", ""}, slices.Collect(maps.Keys(want)))
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s: got %+v, want %+v", name, got[name], want[name])
		}
	}
}

func TestNames(t *testing.T) {
	root := fstest.MapFS{
		"etc/passwd":                      {Data: []byte("root:x:0:0::/root:/bin/sh\n\nnobody:x:65534:\nbroken\n:x:\n")},
		"usr/share/iproute2/rt_tables":    {Data: []byte("# names\n254 main\n 10 ours\nx y\n0x20 hex\n")},
		"etc/iproute2/rt_tables":          {Data: []byte("11 ours\n")},
		"etc/iproute2/rt_tables.d/a.conf": {Data: []byte("12 more\n")},
		"etc/iproute2/rt_tables.d/b.txt":  {Data: []byte("13 not\n")},
	}
	if got, want := accounts(root, "etc/passwd"), []string{"root", "nobody"}; !slices.Equal(got, want) {
		t.Errorf("users %v, want %v", got, want)
	}
	if got := accounts(fstest.MapFS{}, "etc/passwd"); got != nil {
		t.Errorf("users without passwd: %v, want nil, for nothing is known", got)
	}
	want := map[string]uint32{"main": 254, "ours": 11, "hex": 32, "more": 12}
	if got := routeNames(root).Tables; !maps.Equal(got, want) {
		t.Errorf("tables %v, want %v", got, want)
	}
}
