package health_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"uvs/health"
)

// TestVIPCheck: a server that falls silent for the virtual address is out after connect_timeout, its retry and that one's
// connect_timeout, and back with the first probe that is answered. A probe that is cancelled says nothing.
func TestVIPCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		since := func() time.Duration { return time.Since(began) }
		delivery := health.Delivery{Server: netip.MustParseAddr("10.0.0.1"), Tunnel: "gue", Port: 6080}
		prober := health.NetProber{VIP: func(ctx context.Context, c *health.Check) health.Outcome {
			if c.Delivery != delivery || c.Target != netip.MustParseAddrPort("192.0.2.1:80") {
				t.Errorf("asked for %s by %+v", c.Target, c.Delivery)
			}
			if since() < 5*time.Second || since() > 20*time.Second && since() < 50*time.Second {
				return health.Outcome{Verdict: health.Success}
			}
			<-ctx.Done()
			return health.Outcome{Reason: health.ConnectTimeout, Err: errors.New("silence")}
		}}
		var told []string
		set := health.NewSet(health.Options{
			Prober: prober,
			Early:  func(time.Duration) time.Duration { return 0 },
			OnEvent: func(e health.Event) {
				if e.Kind == health.ServerUp || e.Kind == health.ServerDown {
					told = append(told, fmt.Sprintf("%v: %s %s", since(), e.Kind, e.Reason))
				}
			},
		})
		set.Apply([]health.Server{{
			Key: health.Key{Service: "[192.0.2.1]:tcp:80", Server: "[10.0.0.1]:tcp:80"},
			Checks: []health.Check{{
				Kind: health.VIP, Prompt: true, Target: netip.MustParseAddrPort("192.0.2.1:80"), Delivery: delivery,
				ConnectTimeout: 2 * s, DelayLoop: 6 * s, Retry: 1, DelayBeforeRetry: s,
			}},
		}})
		ctx, cancel := context.WithTimeout(t.Context(), 55*time.Second) // in the middle of a probe
		defer cancel()
		if err := set.Run(ctx); err != nil {
			t.Error(err)
		}
		// Probes at 0, 6 (silent), 9 (silent), 17 (silent), 25 and on, 49, 55.
		want := []string{"0s: server up ", "11s: server down silence", "25s: server up "}
		if !slices.Equal(told, want) {
			t.Errorf("%q, want %q", told, want)
		}
		if st := set.Snapshot()[0].Checks[0]; st.Word != "check_vip" || !st.Up {
			t.Errorf("%+v at the end", st)
		}
	})
	step := health.Step{Check: &health.Check{Kind: health.VIP}}
	if o := (health.NetProber{}).Probe(t.Context(), step); o.Verdict != health.Rescheduled {
		t.Errorf("without somebody to ask: %+v", o)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := health.NetProber{VIP: func(context.Context, *health.Check) health.Outcome {
		cancel()
		return health.Outcome{Reason: health.ConnectTimeout, Err: errors.New("silence")}
	}}
	if o := stopped.Probe(ctx, step); o.Verdict != health.Rescheduled || o.Reason != health.Canceled {
		t.Errorf("cancelled: %+v", o)
	}
}
