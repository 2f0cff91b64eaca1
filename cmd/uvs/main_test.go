package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"uvs/control"
	"uvs/internal/demo"
)

// TestMain lets the scripts run uvs, also by ipvsadm's name, with actions that need
// no root and tell what they were asked for. Check is the real one.
func TestMain(m *testing.M) {
	uvs := func() {
		os.Exit(start(process{args: os.Args, stdout: os.Stdout, stderr: os.Stderr, env: os.LookupEnv}, told()))
	}
	testscript.Main(m, map[string]func(){"uvs": uvs, "ipvsadm": uvs, "keepalived": uvs})
}

// told are actions that print their arguments. Running ends with the context, but
// the file stuck.conf does not let go and bad.conf does not come up.
func told() actions {
	a := wired()
	a.run = func(ctx context.Context, o runOptions) error {
		if o.file == "bad.conf" {
			return errors.Join(errors.New("bad.conf:1:1: first"), errors.New("bad.conf:2:1: second"))
		}
		fmt.Printf("file=%s optional=%t id=%s run-dir=%s steer=%s workers=%d max-connections=%d io=%s ring-memory=%d strict=%v vs=%q ftp-ports=%v health-wait=%s max-probes=%d realtime=%d debug=%v\n",
			o.file, o.optional, o.configID, o.runDir, o.steer, o.workers, o.maxConnections, o.io, o.ringMemory, o.strict, o.sysctls, o.ftpPorts, o.healthWait, o.maxProbes, o.realtime, o.log.Enabled(ctx, -4))
		if err := os.WriteFile("up", nil, 0o644); err != nil {
			return err
		}
		<-ctx.Done()
		fmt.Println("stopping")
		if o.file == "stuck.conf" {
			if err := os.WriteFile("stopping", nil, 0o644); err != nil {
				return err
			}
			select {}
		}
		return nil
	}
	a.cleanup = func(_ context.Context, runDir string) ([]string, error) {
		switch filepath.Base(runDir) {
		case "clean":
			return nil, nil
		case "busy":
			return nil, control.ErrRunning
		}
		return []string{"address 192.0.2.10/32 from eth0"}, nil
	}
	a.demo = demoActions{
		available: func() error {
			if os.Getenv("ROOT") == "" {
				return errors.New("network namespaces need root (running as uid 1000)")
			}
			return nil
		},
		run: func(_ context.Context, o demo.Options) error {
			fmt.Printf("modes=%v live=%v unicode=%v executable=%t\n", o.Modes, o.Live, o.Unicode, filepath.IsAbs(o.Executable))
			switch os.Getenv("DEMO") {
			case "interrupted":
				return fmt.Errorf("interrupted: %w", context.Canceled)
			case "failed":
				return errors.New(`1 of 31 checks failed: "NAT: requests fail only until then"`)
			}
			return nil
		},
	}
	return a
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": serve,
			"await": await,
		},
	})
}

// serve DIR serves the control API of a small fake director until the script ends.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: serve DIR")
	}
	l, err := control.Listen(ts.MkAbs(args[0]))
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, l, fake{dir: ts.MkAbs(".")}) }()
	ts.Defer(func() {
		cancel()
		if err := <-done; err != nil {
			ts.Logf("serve: %v", err)
		}
	})
}

// await FILE waits until a background command has made FILE.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
				return
			}
		case <-deadline:
			ts.Fatalf("%s did not come", args[0])
		}
	}
}

// fake is a director with one service. It reloads the words of reload.txt in its directory.
type fake struct {
	control.Director
	dir string
}

func (fake) service() control.Service {
	return control.Service{
		Protocol: control.TCP, Address: netip.MustParseAddr("192.0.2.10"), Port: 80, Scheduler: "wlc",
		Servers: []control.Server{
			{
				Address: netip.MustParseAddr("10.1.0.11"), Port: 8080, Method: control.NAT, Weight: 1, EffectiveWeight: 1,
				State: control.ServerUp, Active: 12, Inactive: 340,
			},
			{
				Address: netip.MustParseAddr("10.1.0.12"), Port: 8080, Method: control.NAT, Weight: 1, State: control.ServerRemoved,
				Checks: []control.Check{{Kind: "TCP_CHECK", State: control.CheckDown, LastError: "connection refused"}},
			},
		},
	}
}

func (f fake) Status(context.Context) (control.Status, error) {
	return control.Status{
		Version: "0.2.0", PID: 4242, State: control.StateRunning, RunDir: "run",
		Config:   control.Config{File: "keepalived.conf"},
		Steering: control.Steering{Backend: "tcx"},
		Services: []control.Service{f.service()},
	}, nil
}

func (f fake) Edit(context.Context, []control.Edit) error {
	return &control.EditError{Code: control.CodeExists, Message: "the service is there"}
}

func (f fake) Reload(_ context.Context, how control.Reloading) (control.Reloaded, error) {
	text, err := os.ReadFile(filepath.Join(f.dir, "reload.txt"))
	if err != nil {
		return control.Reloaded{}, errors.New("reload: nothing changed: 1 error in web.conf (first: line 3: lb_algo)")
	}
	if how.DryRun {
		return control.Reloaded{Changes: []string{"added service [192.0.2.10]:tcp:80"}, Notes: []string{}}, nil
	}
	return control.Reloaded{Changes: strings.Fields(string(text)), Notes: []string{"web.conf:4:5: note: this is not served yet"}}, nil
}

func (fake) Sysctls(context.Context) ([]control.Sysctl, error) {
	return []control.Sysctl{
		{Name: "drop_entry", Value: "0", Default: "0", Unserved: "the table refuses new connections when it is full"},
		{Name: "sloppy_tcp", Value: "1", Default: "0"},
	}, nil
}

func (fake) SetSysctl(_ context.Context, name, value string) error {
	if name != "sloppy_tcp" || value != "1" {
		return fmt.Errorf("setting %s is not %q", name, value)
	}
	return nil
}

func (f fake) Services(context.Context) (control.ServiceList, error) {
	return control.ServiceList{TableSize: 4096, Services: []control.Service{f.service()}}, nil
}

func (fake) Connections(_ context.Context, yield func(control.Connection) error) error {
	return yield(control.Connection{
		Protocol: control.TCP, State: "ESTABLISHED", Expires: control.Seconds(897 * time.Second),
		Client:  netip.MustParseAddrPort("203.0.113.5:51512"),
		Virtual: netip.MustParseAddrPort("192.0.2.10:80"),
		Server:  netip.MustParseAddrPort("10.1.0.11:8080"),
	})
}
