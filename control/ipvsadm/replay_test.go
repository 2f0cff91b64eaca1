package ipvsadm_test

import (
	"path/filepath"
	"testing"

	"uvs/control/ipvsadm/ipvsadmtest"
)

// TestCaptured gives our ipvsadm the commands that the real one was given, and wants the
// same answers to the byte.
func TestCaptured(t *testing.T) {
	files, err := filepath.Glob("testdata/captured/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			n := 0
			ipvsadmtest.Read(t, file).Play(t, &model{newKernel()}, func(e *ipvsadmtest.Entry, got ipvsadmtest.Answer) {
				n++
				e.Compare(t, file, got)
			})
			t.Logf("%d commands", n)
		})
	}
}
