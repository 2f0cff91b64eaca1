package daemon

import (
	"io/fs"
	"math"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// machine is a file system with what tells of memory.
func machine(files map[string]string) fs.FS {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func TestReadMemory(t *testing.T) {
	const (
		meminfo   = "MemTotal:       16777216 kB\nMemFree:        1 kB\n"
		v2        = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
		v1        = "40 24 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n41 24 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
		machine16 = "16384 MiB of the machine"
	)
	for _, tt := range []struct {
		name  string
		files map[string]string
		mib   uint64
		from  string
	}{
		{"nothing to read", nil, 1024, "an assumed 1024 MiB"},
		{"no number", map[string]string{"proc/meminfo": "MemTotal: much kB\n"}, 1024, "an assumed 1024 MiB"},
		{"machine alone", map[string]string{"proc/meminfo": meminfo}, 16384, machine16},
		{"v2 without a limit", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/system.slice/uvs.service\n", "proc/self/mountinfo": v2,
			"sys/fs/cgroup/system.slice/uvs.service/memory.max": "max\n",
		}, 16384, machine16},
		{"v2, own limit", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/system.slice/uvs.service\n", "proc/self/mountinfo": v2,
			"sys/fs/cgroup/system.slice/uvs.service/memory.max": "536870912\n",
			"sys/fs/cgroup/system.slice/memory.max":             "1073741824\n",
		}, 512, "512 MiB of /sys/fs/cgroup/system.slice/uvs.service/memory.max"},
		{"v2, limit two levels up", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b/c\n", "proc/self/mountinfo": v2,
			"sys/fs/cgroup/a/b/c/memory.max": "max\n",
			"sys/fs/cgroup/a/b/memory.max":   "9999999999999\n",
			"sys/fs/cgroup/a/memory.max":     "268435456\n",
		}, 256, "256 MiB of /sys/fs/cgroup/a/memory.max"},
		{"v2 in a container: a namespace's root has the container's limit", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "proc/self/mountinfo": "30 24 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
			"sys/fs/cgroup/memory.max": "134217728\n",
		}, 128, "128 MiB of /sys/fs/cgroup/memory.max"},
		{"v2, a group outside the namespace", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/../../other\n", "proc/self/mountinfo": v2,
			"sys/fs/cgroup/memory.max": "134217728\n", "sys/fs/cgroup/other/memory.max": "67108864\n",
		}, 128, "128 MiB of /sys/fs/cgroup/memory.max"},
		{"v1 without a limit", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/user\n1:cpu,cpuacct:/\n", "proc/self/mountinfo": v1,
			"sys/fs/cgroup/memory/user/memory.limit_in_bytes": "9223372036854771712\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":      "9223372036854771712\n",
		}, 16384, machine16},
		{"v1, limit of the group around", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/user/uvs\n", "proc/self/mountinfo": v1,
			"sys/fs/cgroup/memory/user/uvs/memory.limit_in_bytes": "9223372036854771712\n",
			"sys/fs/cgroup/memory/user/memory.limit_in_bytes":     "67108864\n",
		}, 64, "64 MiB of /sys/fs/cgroup/memory/user/memory.limit_in_bytes"},
		{"v1 in a container: its group is mounted", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/docker/0123\n",
			"proc/self/mountinfo":                        "40 24 0:30 /docker/0123 /sys/fs/cgroup/memory ro - cgroup memory rw,memory\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "100663296\n",
		}, 96, "96 MiB of /sys/fs/cgroup/memory/memory.limit_in_bytes"},
		{"both versions, each with a limit", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/x\n0::/y\n",
			"proc/self/mountinfo":                          v1 + "31 24 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "1073741824\n",
			"sys/fs/cgroup/unified/y/memory.max":           "2147483648\n",
		}, 1024, "1024 MiB of /sys/fs/cgroup/memory/x/memory.limit_in_bytes"},
		{"a mount point with a blank", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/y\n",
			"proc/self/mountinfo":    `31 24 0:27 / /my\040groups rw - cgroup2 cgroup2 rw` + "\n",
			"my groups/y/memory.max": "1048576\n",
		}, 1, "1 MiB of /my groups/y/memory.max"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, want := readMemory(machine(tt.files)), (memory{tt.mib << 20, tt.from}); got != want {
				t.Errorf("got %d MiB (%s), want %d MiB (%s)", got.bytes>>20, got.source, want.bytes>>20, want.source)
			}
		})
	}
}

// TestReadMemoryHere: what is read on a real machine is no more than the machine has.
func TestReadMemoryHere(t *testing.T) {
	total, ok := memTotal(os.DirFS("/"))
	if !ok {
		t.Fatal("this machine has no /proc/meminfo")
	}
	if m := readMemory(os.DirFS("/")); m.bytes == 0 || m.bytes > total || strings.Contains(m.source, "assumed") {
		t.Errorf("got %d bytes (%s) of %d", m.bytes, m.source, total)
	}
}

func FuzzReadMemory(f *testing.F) {
	f.Add("MemTotal: 16 kB\n", "0::/a/b\n4:memory:/c\n", "30 24 0:26 / /g rw - cgroup2 c rw\n", "1048576")
	f.Add("", "0::/../..\n", "30 24 0:26 /x /g rw - cgroup2 c rw\n", "max")
	f.Fuzz(func(t *testing.T, meminfo, cgroup, mounts, limit string) {
		m := readMemory(machine(map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": cgroup, "proc/self/mountinfo": mounts,
			"g/memory.max": limit, "g/a/memory.max": limit, "g/a/b/memory.max": limit,
		}))
		if m.bytes == 0 || m.source == "" {
			t.Errorf("got %d bytes (%q)", m.bytes, m.source)
		}
	})
}

func TestMaxFlows(t *testing.T) {
	for _, tt := range []struct {
		name   string
		asked  int
		bytes  uint64
		want   int
		source string
	}{
		{"asked for", 1000, 1 << 40, 1000, "--max-connections"},
		{"8 MiB", 0, 8 << 20, flowsLeast, "from memory"},
		{"64 MiB", 0, 64 << 20, 93206, "from memory"},
		{"512 MiB", 0, 512 << 20, 745654, "from memory"},
		{"8 GiB", 0, 8 << 30, 11930464, "from memory"},
		{"256 GiB", 0, 256 << 30, flowsMost, "from memory"},
	} {
		n, source := maxFlows(tt.asked, memory{bytes: tt.bytes})
		if n != tt.want || source != tt.source {
			t.Errorf("%s: got %d %s, want %d %s", tt.name, n, source, tt.want, tt.source)
		}
		if tt.asked == 0 && n > flowsLeast && uint64(n)*flowBytes > tt.bytes/flowsFraction {
			t.Errorf("%s: %d flows take more than an eighth", tt.name, n)
		}
	}
}

func TestFreePages(t *testing.T) {
	for _, tt := range []struct {
		name, meminfo string
		want          int
	}{
		{"free and buffers", "MemTotal: 100 kB\nMemFree: 4000 kB\nMemAvailable: 9000 kB\nBuffers: 96 kB\nCached: 7 kB\n", 1024},
		{"no buffers told", "MemFree: 4000 kB\n", math.MaxInt32},
		{"no number", "MemFree: much kB\nBuffers: 96 kB\n", math.MaxInt32},
		{"none left", "MemFree: 0 kB\nBuffers: 0 kB\n", 0},
	} {
		if got := freePages(machine(map[string]string{"proc/meminfo": tt.meminfo}), 4096); got != tt.want {
			t.Errorf("%s: %d pages, want %d", tt.name, got, tt.want)
		}
	}
	if got := freePages(machine(nil), 4096); got != math.MaxInt32 {
		t.Errorf("nothing to read: %d pages", got)
	}
}
