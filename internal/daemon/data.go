package daemon

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"uvs/forwarding"
	"uvs/internal/steer"
	"uvs/internal/table"
)

// Data connections of FTP by NAT use ports that only the control connections tell of. The
// engine keeps back what tells a peer of such a port until the host's stack is kept off it.

const (
	// forgetDataEvery is how often steering lets go of ports that no connection uses any more.
	forgetDataEvery = 5 * time.Second
	// dataRoom is for how many of them steering keeps room at the least, once there is a service of
	// FTP: 40 KiB in the kernel.
	dataRoom = 256
)

// data is what the reconciler knows of data connections. It is guarded by inLineMu.
type data struct {
	rules   steer.Rules // in force, but for what is brief
	ends    []forwarding.DataEnd
	version uint64 // of ends
	room    int
}

// keepData keeps the stack off the ports of data connections.
func (d *director) keepData(ctx context.Context) error {
	forget := time.NewTicker(forgetDataEvery)
	defer forget.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.engine.DataChanges():
		case <-forget.C:
			if !d.engine.DataIdle() {
				continue
			}
		}
		if err := d.steerData(); err != nil {
			d.log.Error("the ports of a data connection of FTP could not be steered; trying again", "error", err)
			d.look()
		}
	}
}

// steerData brings steering in line with the data connections. If it cannot, the reconciler
// tries again.
func (d *director) steerData() error {
	d.inLineMu.Lock()
	defer d.inLineMu.Unlock()
	x := &d.inLine.data
	x.ends, x.version = d.engine.DataEnds()
	if d.inLine.with == nil {
		return nil // the reconciler is about to
	}
	err := d.applySteering(x.rules)
	if err != nil {
		d.inLine.with = nil
	}
	return err
}

// applySteering puts rules in force, with the ports of data connections. d.inLineMu is held.
func (d *director) applySteering(rules steer.Rules) error {
	x := &d.inLine.data
	if err := d.steer.Apply(x.with(rules, d.goal.Load().hasTCP(d.opts.FTPPorts))); err != nil {
		return d.steerError(err)
	}
	x.rules = rules
	d.engine.Steered(x.version)
	return nil
}

// with adds the ports of data connections to rules, and room for more if there is a service of
// FTP.
func (x *data) with(rules steer.Rules, ftp bool) steer.Rules {
	if !ftp && len(x.ends) == 0 {
		x.room = 0
		return rules
	}
	x.room = max(x.room, dataRoom)
	for x.room < len(x.ends) {
		x.room *= 2
	}
	rules.BriefRoom = x.room
	for _, e := range x.ends {
		rules.BriefServices = append(rules.BriefServices, endMatch(e.Virtual))
		rules.BriefServers = append(rules.BriefServers, endMatch(e.Server))
	}
	return rules
}

func endMatch(end netip.AddrPort) steer.Match {
	return steer.Match{Addr: end.Addr(), Port: end.Port(), Proto: table.TCP}
}

// among returns what of a list of addresses is in another.
func among(list, of []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(list), func(a netip.Addr) bool { return !slices.Contains(of, a) })
}

// hasTCP reports whether one of the services is of TCP and of one of the ports.
func (g goal) hasTCP(ports []uint16) bool {
	return slices.ContainsFunc(g.services, func(m steer.Match) bool {
		return m.Proto == table.TCP && slices.Contains(ports, m.Port)
	})
}
