package daemon

import (
	"testing"
	"time"
)

// TestBootDelay: takeovers wait for the longer of vrrp_startup_delay and what is left of
// vrrp_delay_after_boot.
func TestBootDelay(t *testing.T) {
	const s = time.Second
	for _, c := range []struct{ startup, afterBoot, up, want time.Duration }{
		{0, 0, 100 * s, 0},
		{5 * s, 0, 100 * s, 5 * s},
		{0, 60 * s, 20 * s, 40 * s},
		{0, 60 * s, 100 * s, 0},
		{50 * s, 60 * s, 20 * s, 50 * s},
		{5 * s, 60 * s, 20 * s, 40 * s},
	} {
		if got := bootDelay(c.startup, c.afterBoot, c.up); got != c.want {
			t.Errorf("startup delay %v, %v after boot, up for %v: %v, want %v", c.startup, c.afterBoot, c.up, got, c.want)
		}
	}
}
