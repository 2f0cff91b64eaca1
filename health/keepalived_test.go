package health_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"uvs/health"
)

// A recording is what keepalived 2.2.7 itself did: testdata/keepalived-2.2.7.txt.
type recording struct {
	name   string
	check  health.Check
	probes []string // "seconds path ok|fail"
	log    []string
}

func recordings(t *testing.T) (all []recording) {
	data, err := os.ReadFile("testdata/keepalived-2.2.7.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, " ")
		r := &recording{}
		if len(all) > 0 {
			r = &all[len(all)-1]
		}
		switch word {
		case "", "#":
		case "scenario":
			all = append(all, recording{name: rest})
		case "check":
			r.check = recordedCheck(t, rest)
		case "log":
			r.log = append(r.log, rest)
		default:
			r.probes = append(r.probes, line)
		}
	}
	return all
}

func recordedCheck(t *testing.T, settings string) health.Check {
	var urls, retry, between, fast, alpha int
	_, err := fmt.Sscanf(settings, "urls=%d retry=%d delay_before_retry=%d fast_recovery=%d alpha=%d",
		&urls, &retry, &between, &fast, &alpha)
	if err != nil {
		t.Fatalf("%q: %v", settings, err)
	}
	c := health.Check{
		Kind: health.HTTP, Target: web1, DelayLoop: 2 * s, LogAllFailures: true,
		Retry: retry, DelayBeforeRetry: time.Duration(between) * s,
		FastRecovery: fast != 0, Alpha: alpha != 0,
	}
	for i := range urls {
		c.URLs = append(c.URLs, health.URL{Path: fmt.Sprintf("/%d", i+1)})
	}
	return c
}

// TestSameAsKeepalived replays the recorded answers: the requests come in the same
// seconds and for the same paths, and the log is the same line by line. Whole seconds,
// because where keepalived waits nothing at all this package waits MinGap.
func TestSameAsKeepalived(t *testing.T) {
	for i, r := range recordings(t) {
		synctestRun(t, r.name, func(t *testing.T) {
			var log, probes []string
			begun := time.Now().Add(s) // the first probe of all waits a second
			ctx, cancel := context.WithTimeout(t.Context(), 43*s)
			defer cancel()
			set := health.NewSet(health.Options{
				Early: punctual,
				OnEvent: func(e health.Event) {
					if e.Message != "" {
						log = append(log, e.Message)
					}
				},
				Prober: proberFunc(func(step health.Step) health.Outcome {
					if len(probes) == len(r.probes) {
						return ok
					}
					o, word := ok, "ok"
					if strings.HasSuffix(r.probes[len(probes)], " fail") {
						o, word = health.Outcome{Reason: health.StatusMismatch}, "fail"
					}
					probes = append(probes, fmt.Sprintf("%.0f %s %s",
						math.Round(time.Since(begun).Seconds()), step.Check.URLs[step.URL].Path, word))
					return o
				}),
			})
			set.Apply([]health.Server{{
				Key: health.Key{
					Service: "[10.99.0.1]:tcp:80",
					Server:  fmt.Sprintf("[127.0.0.1]:tcp:%d", 8001+i),
				},
				Checks: []health.Check{r.check},
			}})
			set.Run(ctx)
			if !slices.Equal(probes, r.probes) {
				t.Errorf("probes\n%s\nwant\n%s", strings.Join(probes, "\n"), strings.Join(r.probes, "\n"))
			}
			if !slices.Equal(log, r.log) {
				t.Errorf("log\n%s\nwant\n%s", strings.Join(log, "\n"), strings.Join(r.log, "\n"))
			}
		})
	}
}
