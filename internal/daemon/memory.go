package daemon

import (
	"fmt"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// A memory is how much memory this process may count on, and what says so.
type memory struct {
	bytes  uint64
	source string // for people: "16384 MiB of the machine"
}

// memoryUnknown is assumed where nothing tells how much there is: little enough to be true.
const memoryUnknown = 1 << 30

// readMemory returns the least of the machine's memory and the limits of all control groups
// that this process is in. root is the root of the file system.
func readMemory(root fs.FS) memory {
	least := memory{memoryUnknown, "an assumed 1024 MiB"}
	if n, ok := memTotal(root); ok {
		least = memory{n, fmt.Sprintf("%d MiB of the machine", n>>20)}
	}
	for _, c := range memoryGroups(root) {
		b, err := fs.ReadFile(root, c)
		if err != nil {
			continue // a root group has no such file
		}
		// "max", which is no number, is no limit; nor is version 1's 2^63 less a page.
		n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
		if err == nil && n > 0 && n < least.bytes {
			least = memory{n, fmt.Sprintf("%d MiB of /%s", n>>20, c)}
		}
	}
	return least
}

// memTotal reads MemTotal.
func memTotal(root fs.FS) (uint64, bool) {
	n, ok := memInfo(root, "MemTotal:")
	return n, ok && n > 0
}

// freePages returns how many pages of the machine's memory are free as IPVS counts: without what
// is cached, as it always did (si_meminfo). If that cannot be read there are enough.
func freePages(root fs.FS, page uint64) int {
	free, ok1 := memInfo(root, "MemFree:")
	buffers, ok2 := memInfo(root, "Buffers:")
	if !ok1 || !ok2 {
		return math.MaxInt32
	}
	return int(min((free+buffers)/page, math.MaxInt32))
}

// memInfo reads a line of proc_meminfo(5), in bytes.
func memInfo(root fs.FS, name string) (uint64, bool) {
	b, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == name {
			n, err := strconv.ParseUint(f[1], 10, 53)
			return n << 10, err == nil
		}
	}
	return 0, false
}

// memoryGroups lists the files that may limit this process' memory: one for each level of
// its control groups, from the innermost to the root of what is mounted here (cgroups(7)).
// Both versions may be mounted at once, each with some of the limits.
func memoryGroups(root fs.FS) []string {
	own, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	mounts, err := fs.ReadFile(root, "proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var files []string
	for line := range strings.Lines(string(own)) {
		// "0::/path" of version 2, "4:memory:/path" of version 1.
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		var file string
		switch {
		case f[0] == "0" && f[1] == "":
			file = "memory.max"
		case hasWord(f[1], "memory"):
			file = "memory.limit_in_bytes"
		default:
			continue
		}
		for _, m := range groupMounts(string(mounts), f[1] == "") {
			for _, dir := range levels(m, f[2]) {
				files = append(files, path.Join(dir, file))
			}
		}
	}
	return files
}

// A groupMount is a mounted control group hierarchy: which of its groups is mounted where.
type groupMount struct{ group, dir string }

// groupMounts picks version 2's hierarchy, or version 1's of memory, out of mountinfo
// (proc_pid_mountinfo(5)).
func groupMounts(mountinfo string, unified bool) []groupMount {
	var list []groupMount
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if len(f) < 5 || len(g) < 3 {
			continue
		}
		if unified && g[0] == "cgroup2" || !unified && g[0] == "cgroup" && hasWord(g[2], "memory") {
			list = append(list, groupMount{unescape(f[3]), unescape(f[4])})
		}
	}
	return list
}

// levels lists the directories of a group and of those around it. Of a group that is not
// below the mounted one, or outside this namespace ("/../x"), only the mounted one is seen.
func levels(m groupMount, group string) []string {
	top := strings.TrimPrefix(path.Clean(m.dir), "/")
	rest, ok := strings.CutPrefix(group+"/", strings.TrimSuffix(m.group, "/")+"/")
	if !ok || strings.HasPrefix(group, "/..") {
		rest = ""
	}
	var dirs []string
	for rest = strings.Trim(path.Clean("/"+rest), "/"); rest != ""; rest = strings.Trim(path.Dir("/"+rest), "/") {
		dirs = append(dirs, path.Join(top, rest))
	}
	return append(dirs, top)
}

// unescape undoes mountinfo's octal escapes of blanks and backslashes.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// hasWord reports whether a list with commas has a word.
func hasWord(list, word string) bool { return strings.Contains(","+list+",", ","+word+",") }

// The connection bound that follows from memory: a flow of IPv4 takes 64 bytes and its part
// of the index, some 90 in all (of IPv6: 122), and the table gets an eighth.
const (
	flowBytes     = 90
	flowsFraction = 8
	flowsLeast    = 1 << 14 // under 2 MB; less than 12 MiB of memory does not run uvs anyway
	flowsMost     = 1 << 24 // some 1.5 GB when full, from 12 GiB of memory on
	flowsMost32   = 1 << 20 // where addresses have 32 bits: the table's own take part of them
)

// maxFlows returns the bound on the flow table: what was asked for, or what memory allows.
// Memory is taken only as flows come.
func maxFlows(asked int, m memory) (n int, source string) {
	if asked > 0 {
		return asked, "--max-connections"
	}
	most := uint64(flowsMost)
	if strconv.IntSize == 32 {
		most = flowsMost32
	}
	return int(min(max(m.bytes/flowsFraction/flowBytes, flowsLeast), most)), "from memory"
}
