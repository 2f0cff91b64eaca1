package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"uvs/config"
	"uvs/control"
	"uvs/internal/hostconf"
	"uvs/internal/hostnet"
)

// loaded is what came of the configuration file.
type loaded struct {
	file     string
	read     time.Time
	findings config.Diagnostics
	notes    []string // for status: what is not run, or not as written
}

func (l *loaded) status() control.Config {
	errors := l.findings.Count(config.Error)
	return control.Config{File: l.file, Loaded: l.read, Errors: errors, Notes: len(l.findings) - errors}
}

// load reads the configuration for a run. It refuses what keepalived exits on, and with
// --strict any error; otherwise it logs each finding and goes on with what is left.
func (d *director) load(s *hostnet.Snapshot) error {
	if d.opts.source().name() == "" {
		d.log.Info("no configuration file: beginning without services; add them with ipvsadm")
		return nil
	}
	c, p, err := d.read(s)
	if err != nil {
		return err
	}
	for i := range c.findings {
		f := &c.findings[i]
		d.log.Log(nil, levelOf(f.Severity), f.Error()) //nolint:staticcheck // slog ignores the context here
	}
	for _, note := range p.notes {
		d.log.Info(note)
	}
	if err := refuse(c.file, c.findings, d.opts.Strict); err != nil {
		return err
	}
	d.config, d.plan = c, p
	return nil
}

// read reads the configuration file. The error is that there is none to speak of.
func (d *director) read(s *hostnet.Snapshot) (loaded, plan, error) {
	source := d.opts.source()
	c, findings, err := source.read(s)
	if err != nil {
		return loaded{}, plan{}, err
	}
	if err := unreadable(findings); err != nil {
		return loaded{}, plan{}, err
	}
	l := loaded{file: source.name(), read: time.Now(), findings: findings}
	for i := range findings {
		if f := &findings[i]; f.Severity != config.Warning {
			l.notes = append(l.notes, f.Error())
		}
	}
	p := planOn(c, s)
	l.notes = append(l.notes, p.notes...)
	return l, p, nil
}

// refuse is why a reload does not take the file: any error in it.
func (l *loaded) refuse() error {
	for i := range l.findings {
		if f := &l.findings[i]; f.Severity == config.Error {
			return fmt.Errorf("%s in %s (first: %s: %s)", plural(l.findings.Count(config.Error), "error"), l.file, placeIn(l.file, f.Pos), f.Message)
		}
	}
	return nil
}

// unreadable returns the reason why there is no configuration at all, if that is what the
// findings say: such a one belongs to no line.
func unreadable(findings config.Diagnostics) error {
	for i := range findings {
		if f := &findings[i]; f.Fatal && f.Line == 0 {
			return fmt.Errorf("configuration: %s", f.Message)
		}
	}
	return nil
}

// refuse says whether findings keep a configuration from being run at all.
func refuse(file string, findings config.Diagnostics, strict bool) error {
	if !findings.HasFatal() && (!strict || !findings.HasErrors()) {
		return nil
	}
	for i := range findings {
		if f := &findings[i]; f.Fatal || strict && f.Severity == config.Error {
			return fmt.Errorf("%s is not run: %s in it (first: %s)", file, plural(findings.Count(config.Error), "error"), placeIn(file, f.Pos))
		}
	}
	return nil
}

// placeIn says where a finding is: its line, and its file if that is another one.
func placeIn(file string, p config.Pos) string {
	if abs, err := filepath.Abs(file); err == nil && abs == p.File {
		return fmt.Sprintf("line %d", p.Line)
	}
	return p.String()
}

// A Source is where a configuration comes from.
type Source struct {
	File     string // path of keepalived.conf; "": there is none
	ConfigID string // chooses the lines with @; "": the machine's name
	Extra    string // path of the file with what is ours alone; "": there is none
}

func (o *Options) source() Source { return Source{o.ConfigFile, o.ConfigID, o.Extra} }

// name is what an operator knows it by.
func (c Source) name() string { return cmp.Or(c.File, c.Extra) }

// read reads it against this machine's network.
func (c Source) read(s *hostnet.Snapshot) (*config.Config, config.Diagnostics, error) {
	return hostconf.Read(c.File, s, hostconf.Options{ConfigID: c.ConfigID, Extra: c.Extra})
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

func levelOf(s config.Severity) slog.Level {
	switch s {
	case config.Error:
		return slog.LevelError
	case config.Warning:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// A CheckResult is what Check found out about a configuration.
type CheckResult struct {
	Findings []string // one line each, in the order of the file
	Errors   int      // how many of them will not run as written
	Refused  bool     // Run would not start with this file

	// What would run. States, counters and next hops say nothing.
	Addresses []control.Address
	Services  []control.Service
	// Elections are lines about each vrrp_instance: how soon it takes over, and who of it and
	// its peers wins. Lines that go on with an instance are indented.
	Elections []string
	// PeerErrors is how many of the Findings are about files of peers, or about what of the
	// files does not fit together. They are not among Errors.
	PeerErrors int
}

// Check reads a configuration as Run would, against this machine's network, and changes
// nothing. The files of peers are compared with it: what they cannot agree about, and errors in them, are among the
// findings. The error is that a file's name or the network cannot be looked at, never one in
// a file.
func Check(source Source, peers []PeerFile) (CheckResult, error) {
	network, err := hostnet.Open()
	if err != nil {
		return CheckResult{}, err
	}
	s := network.Snapshot()
	if err := network.Close(); err != nil {
		return CheckResult{}, err
	}
	c, findings, err := source.read(s)
	if err != nil {
		return CheckResult{}, err
	}
	rivals, faults, err := readPeers(peers)
	if err != nil {
		return CheckResult{}, err
	}
	result := CheckResult{Errors: findings.Count(config.Error)}
	for i := range findings {
		result.Findings = append(result.Findings, findings[i].Error())
	}
	result.Refused = findings.HasFatal()
	if !result.Refused {
		p := planOn(c, s)
		result.Findings = append(result.Findings, p.notes...)
		result.Findings = append(result.Findings, p.markNotes()...)
		result.Addresses, result.Services = p.describe()
		lines, different := elections(newRival(source.name(), c, sourceOn(s, c)), rivals)
		result.Elections = lines
		faults = append(faults, different...)
	}
	result.Findings = append(result.Findings, faults...)
	result.PeerErrors = len(faults)
	return result, nil
}

// readHere reads a configuration against this machine's network as it is.
func readHere(file, configID string) (c *config.Config, findings config.Diagnostics, err error) {
	network, err := hostnet.Open()
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, network.Close()) }()
	return Source{File: file, ConfigID: configID}.read(network.Snapshot())
}

// Test reads a configuration as `keepalived -t` would and returns its findings, one line
// each, and keepalived's exit status.
func Test(file, configID string) (findings []string, exit int, err error) {
	_, list, err := readHere(file, configID)
	if err != nil {
		return nil, 0, err
	}
	for i := range list {
		if list[i].Severity != config.Note {
			findings = append(findings, list[i].Error())
		}
	}
	return findings, int(list.Exit()), nil
}
