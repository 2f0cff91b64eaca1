package session

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

func descriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// TestRunEnds has no sessions, so that it opens no port of the machine that it runs on.
func TestRunEnds(t *testing.T) {
	run := func() {
		ctx, cancel := context.WithCancel(t.Context())
		set := NewSet(func(e Event) { t.Errorf("event %+v", e) })
		set.Apply(nil)
		ended := make(chan error, 1)
		go func() { ended <- set.Run(ctx) }()
		deadline := time.After(10 * time.Second)
		for range 3 {
			set.Apply(nil)
		}
		for started := false; !started; {
			set.mu.Lock()
			started = set.wire != nil && set.lists == nil
			set.mu.Unlock()
			select {
			case <-deadline:
				t.Fatal("lists are not taken up")
			default:
			}
		}
		if err := set.Run(ctx); err == nil || !strings.Contains(err.Error(), "run already") {
			t.Errorf("second Run: %v", err)
		}
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-deadline:
			t.Fatal("Run does not end")
		}
		if all := set.Snapshot(); len(all) != 0 || set.Up("nobody") {
			t.Errorf("sessions without any: %+v", all)
		}
		set.Apply(nil) // harmless
	}
	run() // what the runtime opens once
	before := descriptors(t)
	for range 3 {
		run()
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}
