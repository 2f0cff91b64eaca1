package track

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkScan measures one look at the machine's own processes, by name and by command line.
func BenchmarkScan(b *testing.B) {
	dirs, err := filepath.Glob("/proc/[1-9]*")
	if err != nil || len(dirs) == 0 {
		b.Fatal(err, len(dirs))
	}
	for name, p := range map[string]Process{"name": {Program: "none"}, "command line": {Program: "none", FullCommand: true}} {
		b.Run(fmt.Sprintf("%s/%d processes", name, len(dirs)), func(b *testing.B) {
			s := newScanner("/proc", []Process{p})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.scan(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestScanLeavesNoDescriptors: each look opens two files of each process.
func TestScanLeavesNoDescriptors(t *testing.T) {
	count := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	s := newScanner("/proc", []Process{{Program: "none", FullCommand: true}})
	before := count()
	for range 3 {
		if _, err := s.scan(); err != nil {
			t.Fatal(err)
		}
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
