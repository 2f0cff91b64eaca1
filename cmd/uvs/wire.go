package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"uvs/control"
	"uvs/internal/daemon"
	"uvs/internal/demo"
	"uvs/internal/systemd"
)

// actions are what the commands do beyond asking a running director. Tests have
// their own.
type actions struct {
	run   func(ctx context.Context, o runOptions) error
	check func(from source, peers []string) (verdict, error)
	// test gives keepalived's verdict about a file: lines to print and an exit status.
	test func(file, configID string) (findings []string, exit int, err error)
	// checkHost looks the machine over for a file.
	checkHost func(ctx context.Context, from source) ([]control.Finding, error)
	cleanup   func(ctx context.Context, runDir string) (removed []string, err error)
	demo      demoActions
}

// A source is where a configuration comes from.
type source struct {
	file  string
	id    string // chooses lines with @; empty: the machine's name
	extra string // the file with what is ours alone; empty: there is none
}

// wired returns the real actions.
func wired() actions {
	return actions{
		run: func(ctx context.Context, o runOptions) error {
			if _, err := os.Stat(o.file); o.optional && errors.Is(err, fs.ErrNotExist) {
				o.file = ""
			}
			notifier, err := systemd.FromEnvironment()
			if err != nil {
				return err
			}
			reload, stop := hangups()
			defer stop()
			defer deaf(o.log)()
			return daemon.Run(ctx, daemon.Options{
				ConfigFile:     o.file,
				ConfigID:       o.configID,
				Extra:          o.extra,
				RunDir:         o.runDir,
				Steer:          o.steer,
				Workers:        o.workers,
				MaxConnections: o.maxConnections,
				IO:             o.io,
				Transmit:       o.transmit,
				BusyPoll:       o.busyPoll,
				RingMemory:     o.ringMemory,
				Strict:         o.strict,
				Sysctls:        o.sysctls,
				FTPPorts:       o.ftpPorts,
				HealthWait:     o.healthWait,
				MaxProbes:      o.maxProbes,
				VRRPRealtime:   o.realtime,
				Reload:         reload,
				Version:        version(),
				Log:            o.log,
				Systemd:        notifier,
			})
		},
		check: func(from source, peers []string) (verdict, error) {
			files := make([]daemon.PeerFile, len(peers))
			for n, p := range peers {
				files[n].File, files[n].ConfigID, _ = strings.Cut(p, ",")
			}
			r, err := daemon.Check(from.daemon(), files)
			return verdict{
				diagnostics: r.Findings, errors: r.Errors, refused: r.Refused,
				addresses: r.Addresses, services: r.Services, elections: r.Elections, peerErrors: r.PeerErrors,
			}, err
		},
		test: daemon.Test,
		checkHost: func(ctx context.Context, from source) ([]control.Finding, error) {
			return daemon.CheckHost(ctx, from.daemon())
		},
		cleanup: func(_ context.Context, runDir string) ([]string, error) { return daemon.Cleanup(runDir) },
		demo:    demoActions{available: demo.Available, run: demo.Run},
	}
}

func (s source) daemon() daemon.Source {
	return daemon.Source{File: s.file, ConfigID: s.id, Extra: s.extra}
}

// deaf keeps the signals by which keepalived writes its data and statistics to files from
// ending the process, until stop is called; it logs what to ask instead.
func deaf(log *slog.Logger) (stop func()) {
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		defer close(done)
		for s := range signals {
			log.Warn("this signal has no effect: ask `uvs status -o json`", "signal", s.String())
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
		<-done
	}
}

// hangups delivers SIGHUPs until stop is called. Several before one is taken are one.
func hangups() (reload <-chan struct{}, stop func()) {
	signals, requests := make(chan os.Signal, 1), make(chan struct{}, 1)
	signal.Notify(signals, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range signals {
			select {
			case requests <- struct{}{}:
			default:
			}
		}
	}()
	return requests, func() {
		signal.Stop(signals)
		close(signals)
		<-done
	}
}
