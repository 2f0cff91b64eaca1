package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// A profiler records with perf(1) where the director's core spends its time.
type profiler struct {
	dir string // for the profiles; empty to record none
	cpu int
}

// trailing is what perf report fills lines up with.
var trailing = regexp.MustCompile(`(?m)[ -]+$`)

// start begins a profile of that name, which stop ends and writes as NAME.txt: the symbols that take one
// per cent and more, of the kernel and of programs that were not stripped.
func (p profiler) start(ctx context.Context, name string) (stop func() error, err error) {
	if p.dir == "" {
		return nothing, nil
	}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return nil, err
	}
	file := filepath.Join(p.dir, strings.NewReplacer(" ", "-", ",", "").Replace(name))
	record := exec.CommandContext(ctx, "perf", "record", "-q", "-C", strconv.Itoa(p.cpu), "-o", file+".data")
	if err := record.Start(); err != nil {
		return nil, err
	}
	return func() error {
		defer os.Remove(file + ".data")
		if err := record.Process.Signal(os.Interrupt); err != nil {
			return err
		}
		_ = record.Wait() // it ends by the signal
		text, err := exec.CommandContext(ctx, "perf", "report", "-i", file+".data", "--stdio", "-q", "--sort", "comm,symbol", "--percent-limit", "1").Output()
		if err != nil {
			return fmt.Errorf("perf report: %w", err)
		}
		return os.WriteFile(file+".txt", trailing.ReplaceAll(text, nil), 0o644)
	}, nil
}
