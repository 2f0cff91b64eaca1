package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"uvs/internal/hostnet"
)

// offloadsFile is the part of the run directory that says which offloads are to be switched
// on again.
const offloadsFile = "offloads.json"

// ownedOffloads are offloads of an interface that a run switched off and has to switch on
// again.
type ownedOffloads struct {
	Interface string   `json:"interface"`
	Index     int      `json:"index"`
	Features  []string `json:"features"` // the kernel's names
}

// ownedOffloads reads the list that the last run left; none if there is no list.
func (d runDir) ownedOffloads() ([]ownedOffloads, error) {
	name := filepath.Join(string(d), offloadsFile)
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []ownedOffloads
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("%s: %w; remove it and switch on the offloads that it names (ethtool -K)", name, err)
	}
	return list, nil
}

// writeOwnedOffloads replaces the list; an empty one is no file. It is written before
// offloads are switched off and after they were switched on, so that a crash leaves nothing
// unknown.
func (d runDir) writeOwnedOffloads(list []ownedOffloads) error {
	if len(list) == 0 {
		return d.delete(offloadsFile)
	}
	b, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	return d.replace(offloadsFile, append(b, '\n'))
}

// A switchboard switches offloads of interfaces; tests have their own.
type switchboard struct {
	on     func(ifname string) ([]string, error)
	change func(ifname string, features []string, on bool) error
}

// realSwitches are those of the calling thread's network namespace.
func realSwitches() switchboard {
	return switchboard{on: hostnet.OffloadsOn, change: hostnet.SwitchOffloads}
}

// offloads keeps account of the offloads that are off because of us. Its methods belong to
// one goroutine at a time.
type offloads struct {
	dir      runDir
	switches switchboard
	owned    []ownedOffloads
}

// recall takes over what a crashed run had switched off.
func (o *offloads) recall() (err error) {
	o.owned, err = o.dir.ownedOffloads()
	return err
}

// switchOff switches an interface's offloads off. What was on before is noted first, and
// what a crashed run has noted of this interface stays as it is.
func (o *offloads) switchOff(l hostnet.Link) error {
	on, err := o.switches.on(l.Name)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(o.owned, func(x ownedOffloads) bool { return x.Index == l.Index })
	switch {
	case len(on) == 0:
		return nil
	case i < 0:
		o.owned = append(o.owned, ownedOffloads{Interface: l.Name, Index: l.Index, Features: on})
	default:
		features := append(slices.Clone(o.owned[i].Features), on...)
		slices.Sort(features)
		o.owned[i].Features = slices.Compact(features)
	}
	if err := o.dir.writeOwnedOffloads(o.owned); err != nil {
		return err
	}
	return o.switches.change(l.Name, on, false)
}

// restore switches on again what is off on interfaces that keep does not hold, and returns
// a line for each. Interfaces that are gone took their switches with them.
func (o *offloads) restore(s *hostnet.Snapshot, keep func(link int) bool) (restored []string, err error) {
	var left []ownedOffloads
	var errs []error
	for _, x := range o.owned {
		l, ok := s.LinkByIndex(x.Index)
		if !ok {
			continue
		}
		if keep(x.Index) {
			left = append(left, x)
			continue
		}
		if err := o.switches.change(l.Name, x.Features, true); err != nil {
			errs = append(errs, err)
			left = append(left, x)
			continue
		}
		restored = append(restored, fmt.Sprintf("plain mode of %s: %d offloads are on again", l.Name, len(x.Features)))
	}
	if len(left) != len(o.owned) {
		errs = append(errs, o.dir.writeOwnedOffloads(left))
	}
	o.owned = left
	return restored, errors.Join(errs...)
}
