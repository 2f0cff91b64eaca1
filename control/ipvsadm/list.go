package ipvsadm

import (
	"bufio"
	"context"
	"fmt"

	"uvs/control"
)

// list prints what -L asks for.
func (e *Env) list(ctx context.Context, out *bufio.Writer, r *request) error {
	switch {
	case r.given[optConnection]:
		n, cancel := e.names(ctx, r)
		defer cancel()
		return e.listConnections(ctx, out, n, r.given[optPersistentConn])
	case r.given[optDaemon]:
		return nil // connection sync is not served: none runs
	case r.given[optTimeout]:
		l, err := e.Table.Services(ctx)
		if err != nil {
			return noDirector(err)
		}
		_, err = fmt.Fprintf(out, "Timeout (tcp tcpfin udp): %d %d %d\n", l.Timeouts.TCP, l.Timeouts.TCPFin, l.Timeouts.UDP)
		return err
	}
	return e.listServices(ctx, out, r)
}

// names returns how addresses and ports are to be printed. Cancel ends the patience.
func (e *Env) names(ctx context.Context, r *request) (n Names, cancel func()) {
	if r.given[optNumeric] {
		return Numeric{}, func() {}
	}
	return e.Lookup.names(ctx)
}

// listServices prints the table or one service.
func (e *Env) listServices(ctx context.Context, out *bufio.Writer, r *request) error {
	l, err := e.Table.Services(ctx)
	if err != nil {
		return noDirector(err)
	}
	f := r.format()
	var b []byte
	if r.given[optService] {
		if l.Services = only(l.Services, &r.service); l.Services == nil {
			return &failure{status: exitList, text: "No such service"}
		}
	} else {
		b = AppendVersion(b, l.TableSize)
	}
	b = f.AppendTitle(b)
	n, cancel := e.names(ctx, r)
	defer cancel()
	for _, s := range ordered(l.Services, !r.given[optNoSort]) {
		b = f.Append(b, s, n)
	}
	_, err = out.Write(b)
	return err
}

// format is the form of a listing. Where options ask for several, the first here wins.
func (r *request) format() Format {
	switch {
	case r.given[optStats] && r.given[optExact]:
		return StatsExact
	case r.given[optStats]:
		return Stats
	case r.given[optRate] && r.given[optExact]:
		return RateExact
	case r.given[optRate]:
		return Rate
	case r.given[optThresholds]:
		return Thresholds
	case r.given[optPersistentConn]:
		return PersistentConn
	case r.given[optTunInfo]:
		return TunInfo
	}
	return Plain
}

// only returns the service that key names, nil if there is none.
func only(services []control.Service, key *control.Service) []control.Service {
	for i := range services {
		s := &services[i]
		if s.Fwmark == key.Fwmark && s.IPv6 == key.IPv6 && s.Protocol == key.Protocol && s.Address == key.Address && s.Port == key.Port {
			return services[i : i+1]
		}
	}
	return nil
}

// save prints the table as commands.
func (e *Env) save(ctx context.Context, out *bufio.Writer, r *request) error {
	l, err := e.Table.Services(ctx)
	if err != nil {
		return noDirector(err)
	}
	n, cancel := e.names(ctx, r)
	defer cancel()
	var b []byte
	for _, s := range ordered(l.Services, true) {
		b = AppendRules(b, s, n, r.given[optSaveThresholds])
	}
	_, err = out.Write(b)
	return err
}

// listConnections prints connections while they arrive, in the director's order.
func (e *Env) listConnections(ctx context.Context, out *bufio.Writer, n Names, engines bool) error {
	b := AppendConnectionTitle(nil, engines)
	titled := false
	err := e.Table.Connections(ctx, func(c control.Connection) error {
		if titled {
			b = b[:0]
		}
		titled = true
		b = AppendConnection(b, &c, n, engines)
		_, err := out.Write(b)
		return err
	})
	switch {
	case err == nil && titled:
		return nil
	case err == nil:
		_, err = out.Write(b)
		return err
	case titled:
		return &failure{status: exitList, text: err.Error()}
	}
	return noDirector(err)
}
