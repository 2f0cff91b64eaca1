package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"uvs/config"
	"uvs/internal/hostnet"
)

// devicesFile of the run directory holds what a crash would leave of devices and settings.
const devicesFile = "devices.json"

// virtualMACs look after the devices with the MACs of virtual routers (use_vmac), and after
// the kernel's settings that instances ask for. A device is there, and captured, before its
// instance owns anything: a takeover need not wait for it.
type virtualMACs struct {
	log    *slog.Logger
	actor  *hostnet.Actor
	links  *linkNames
	dir    runDir
	moved  chan struct{} // holds one: the network may lack something
	groups map[string]uint32

	mu       sync.Mutex // guards what follows
	plan     devicePlan
	virtual  []netip.Addr // addresses of all instances
	made     []hostnet.Device
	held     []hostnet.Sysctl
	settings *hostnet.Settings
	failed   map[string]string // by device, said once
}

// leftDevices is the content of devicesFile.
type leftDevices struct {
	Devices  []hostnet.Device  `json:"devices"`
	Settings []hostnet.Setting `json:"settings"`
}

func newVirtualMACs(log *slog.Logger, actor *hostnet.Actor, links *linkNames, dir runDir) *virtualMACs {
	return &virtualMACs{
		log: log, actor: actor, links: links, dir: dir, moved: make(chan struct{}, 1), settings: hostnet.NewSettings(nil), failed: make(map[string]string),
	}
}

// recall loads what the last run left.
func (v *virtualMACs) recall() error {
	left, err := v.dir.leftDevices()
	if err != nil {
		return err
	}
	v.made, v.settings = left.Devices, hostnet.NewSettings(left.Settings)
	return nil
}

// leftDevices reads what the last run left; nothing if there is no file.
func (d runDir) leftDevices() (left leftDevices, err error) {
	b, err := os.ReadFile(filepath.Join(string(d), devicesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return left, nil
	}
	if err != nil {
		return left, err
	}
	if err := json.Unmarshal(b, &left); err != nil {
		return left, fmt.Errorf("%s: %w; remove it after a look at the devices it names", filepath.Join(string(d), devicesFile), err)
	}
	return left, nil
}

func (d runDir) writeLeftDevices(left leftDevices) error {
	if len(left.Devices)+len(left.Settings) == 0 {
		return d.delete(devicesFile)
	}
	b, err := json.MarshalIndent(left, "", "  ")
	if err != nil {
		return err
	}
	return d.replace(devicesFile, append(b, '\n'))
}

// apply replaces the plan. Devices of others go with prune. It returns when snapshots have
// the devices, so that no instance is in FAULT for want of one that was only just made.
func (v *virtualMACs) apply(ctx context.Context, snapshot func() *hostnet.Snapshot, p devicePlan) {
	s := snapshot()
	v.mu.Lock()
	v.virtual = virtualAddresses(p.instances)
	v.plan = p
	clear(v.failed)
	v.hold(s)
	v.ensure(s)
	made := slices.Clone(v.made)
	v.mu.Unlock()
	v.await(ctx, snapshot, made)
}

// prepare makes the devices of instances that have none of that name yet, so that apply finds
// them. It returns what takes them away again. That an interface below is not there is no error.
func (v *virtualMACs) prepare(ctx context.Context, snapshot func() *hostnet.Snapshot, p devicePlan) (undo func() error, err error) {
	s := snapshot()
	v.mu.Lock()
	var made []hostnet.Device
	for _, w := range p.wishes() {
		d, failed := w.device(v.links.in(s), v.groups)
		if failed != nil || slices.ContainsFunc(v.made, func(m hostnet.Device) bool { return m.Name == d.Name }) {
			continue
		}
		if err = v.ensureDevice(s, &w, d); err != nil {
			if !errors.Is(err, hostnet.ErrForeign) {
				made = append(made, d) // part of it may be there
			}
			err = fmt.Errorf("device %s of vrrp_instance %s: %w", d.Name, w.instance, err)
			break
		}
		made = append(made, d)
	}
	v.mu.Unlock()
	undo = func() error {
		v.mu.Lock()
		defer v.mu.Unlock()
		for _, d := range slices.Backward(made) {
			v.removeDevice(d)
		}
		v.made = slices.DeleteFunc(v.made, func(m hostnet.Device) bool {
			return slices.ContainsFunc(made, func(d hostnet.Device) bool { return d.Name == m.Name })
		})
		return v.write()
	}
	if err != nil {
		return nil, errors.Join(err, undo())
	}
	v.await(ctx, snapshot, made)
	return undo, nil
}

// await waits until snapshots have devices that were made.
func (v *virtualMACs) await(ctx context.Context, snapshot func() *hostnet.Snapshot, made []hostnet.Device) {
	known := func(s *hostnet.Snapshot) bool {
		return !slices.ContainsFunc(made, func(d hostnet.Device) bool { _, ok := s.LinkByName(d.Name); return !ok })
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for give := time.After(settleTime); !known(snapshot()); {
		select {
		case <-ctx.Done():
			return
		case <-give: // it could not be made
			return
		case <-tick.C:
		}
	}
}

// prune takes devices away that no instance has any more.
func (v *virtualMACs) prune() {
	v.mu.Lock()
	defer v.mu.Unlock()
	var stay []hostnet.Device
	wishes := v.plan.wishes()
	for _, d := range v.made {
		if slices.ContainsFunc(wishes, func(w deviceWish) bool { return w.name == d.Name }) {
			stay = append(stay, d)
			continue
		}
		v.removeDevice(d)
	}
	if len(stay) < len(v.made) {
		v.made = stay
		v.report(v.write())
	}
}

// deviceName is the name of an instance's own device, "" for none.
func deviceName(i *config.Instance) string {
	switch {
	case i.MAC != nil:
		return i.MAC.Name
	case i.IPVLAN != nil:
		return i.IPVLAN.Name
	}
	return ""
}

// hold sets what the instances need of the kernel's settings, and lets go of the rest. v.mu is
// held.
func (v *virtualMACs) hold(s *hostnet.Snapshot) {
	var want []hostnet.Sysctl
	add := func(list []hostnet.Sysctl) {
		for _, x := range list {
			if !slices.Contains(want, x) {
				want = append(want, x)
			}
		}
	}
	below := func(name string) {
		add(hostnet.BelowVirtualMAC(name))
		per, err := hostnet.ReversePathPerDevice()
		if err != nil {
			v.log.Warn("the reverse-path filter stays as it is", "error", err)
		}
		add(per)
	}
	for n := range v.plan.own {
		o := &v.plan.own[n]
		if _, ok := v.links.find(s, o.base); ok && !o.six {
			below(o.base)
		}
	}
	for n := range v.plan.instances {
		i := &v.plan.instances[n]
		if _, ok := v.links.find(s, i.Interface); !ok {
			continue
		}
		if i.MAC != nil && !i.IPv6 {
			below(i.Interface)
		}
		if i.PromoteSecondaries {
			add(hostnet.PromoteSecondaries(i.Interface))
		}
	}
	if slices.Equal(want, v.held) {
		return
	}
	if err := v.settings.Hold(want...); err != nil {
		v.log.Error("settings for VRRP could not be made", "error", err)
		want = nil
	}
	err := errors.Join(v.settings.Release(v.held...), v.settings.ReleaseUnneeded())
	v.held = want
	v.report(errors.Join(err, v.write()))
}

// ensure makes the devices that are missing and can be made. v.mu is held.
func (v *virtualMACs) ensure(s *hostnet.Snapshot) {
	for _, w := range v.plan.wishes() {
		d, err := w.device(v.links.in(s), v.groups)
		if err == nil {
			err = v.ensureDevice(s, &w, d)
		}
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != v.failed[w.name] && text != "" {
			v.log.Error("a device of VRRP is missing", "instance", w.instance, "device", w.name, "error", err)
		}
		v.failed[w.name] = text
	}
}

func (v *virtualMACs) ensureDevice(s *hostnet.Snapshot, w *deviceWish, d hostnet.Device) error {
	link, there := v.links.find(s, d.Name)
	if !there {
		if !slices.ContainsFunc(v.made, func(m hostnet.Device) bool { return m.Name == d.Name }) {
			v.made = append(v.made, d)
			if err := v.write(); err != nil {
				return err
			}
		}
	}
	if known := slices.IndexFunc(v.made, func(m hostnet.Device) bool { return m.Name == d.Name }); known >= 0 {
		if old := v.made[known]; there && (old.Kind != d.Kind || old.Mode != d.Mode || old.Parent != d.Parent || old.MAC != d.MAC) {
			v.removeDevice(old)
			there = false
		}
		v.made[known] = d
	}
	if there && link.Admin {
		return v.linkLocal(s, w.own, link)
	}
	_, adopted, err := v.actor.EnsureDevice(d)
	if errors.Is(err, hostnet.ErrForeign) {
		v.made = slices.DeleteFunc(v.made, func(m hostnet.Device) bool { return m.Name == d.Name })
		return errors.Join(err, v.write())
	}
	if err == nil && !adopted {
		v.log.Info(fmt.Sprintf("(%s) device %s made on %s", w.instance, d.Name, w.base))
	}
	return err
}

// linkLocal gives the device of an IPv6 instance the link-local address that its adverts come
// from, as keepalived does. i is nil for a device that is for addresses only.
func (v *virtualMACs) linkLocal(s *hostnet.Snapshot, i *config.Instance, link hostnet.Link) error {
	if i == nil || !i.IPv6 {
		return nil
	}
	base, ok := v.links.find(s, i.Interface)
	if !ok {
		return nil
	}
	source, ok := s.SourceOf(base.Index, true, func(a netip.Addr) bool { return slices.Contains(v.virtual, a) })
	if !ok || present(s, link.Index, netip.PrefixFrom(source, source.BitLen())) {
		return nil
	}
	const subnet = 64
	errs := v.actor.Do(hostnet.AddAddress{Address: hostnet.Address{Link: link.Index, Prefix: netip.PrefixFrom(source, subnet), Flags: hostnet.FlagDeprecated}})
	if err := errs[0]; err != nil && !errors.Is(err, hostnet.ErrExists) {
		return err
	}
	return nil
}

// look tells keep that the network changed. It does not wait.
func (v *virtualMACs) look() {
	select {
	case v.moved <- struct{}{}:
	default:
	}
}

// keep makes devices that are missing: their interface came later, or somebody removed them.
func (v *virtualMACs) keep(ctx context.Context, snapshot func() *hostnet.Snapshot) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-v.moved:
		}
		s := snapshot()
		v.mu.Lock()
		v.hold(s)
		v.ensure(s)
		v.mu.Unlock()
	}
}

// remove takes all devices and settings away.
func (v *virtualMACs) remove() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, d := range slices.Backward(v.made) {
		v.removeDevice(d)
	}
	v.plan, v.made = devicePlan{}, nil
	err := errors.Join(v.settings.Release(v.held...), v.settings.ReleaseUnneeded())
	v.held = nil
	return errors.Join(err, v.write())
}

func (v *virtualMACs) removeDevice(d hostnet.Device) {
	err := v.actor.RemoveDevice(d)
	if err != nil && !errors.Is(err, hostnet.ErrNoDevice) {
		v.report(fmt.Errorf("device %s: %w", d.Name, err))
		return
	}
	v.log.Info("removing device " + d.Name)
}

// write puts what a crash would leave on disk. v.mu is held.
func (v *virtualMACs) write() error {
	return v.dir.writeLeftDevices(leftDevices{v.made, v.settings.List()})
}

func (v *virtualMACs) report(err error) {
	if err != nil {
		v.log.Error("a device or setting of VRRP was not removed, or will not be known after a crash", "error", err)
	}
}
