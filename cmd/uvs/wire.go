package main

import (
	"context"

	"uvs/internal/daemon"
	"uvs/internal/demo"
)

// actions are what the commands do beyond asking a running director. Tests have
// their own.
type actions struct {
	run     func(ctx context.Context, o runOptions) error
	check   func(file string) (verdict, error)
	cleanup func(ctx context.Context, runDir string) (removed []string, err error)
	demo    demoActions
}

// wired returns the real actions.
func wired() actions {
	return actions{
		run: func(ctx context.Context, o runOptions) error {
			return daemon.Run(ctx, daemon.Options{
				ConfigFile:     o.file,
				RunDir:         o.runDir,
				Steer:          o.steer,
				Workers:        o.workers,
				MaxConnections: o.maxConnections,
				Strict:         o.strict,
				Version:        version(),
				Log:            o.log,
			})
		},
		check: func(file string) (verdict, error) {
			r, err := daemon.Check(file)
			return verdict{
				diagnostics: r.Findings, errors: r.Errors, refused: r.Refused,
				addresses: r.Addresses, services: r.Services,
			}, err
		},
		cleanup: func(_ context.Context, runDir string) ([]string, error) { return daemon.Cleanup(runDir) },
		demo:    demoActions{available: demo.Available, run: demo.Run},
	}
}
