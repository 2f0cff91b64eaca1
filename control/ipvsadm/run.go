package ipvsadm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"uvs/control"
)

// Lister is what listings are made of; control.Client is one.
type Lister interface {
	Services(ctx context.Context) (control.ServiceList, error)
	Connections(ctx context.Context, yield func(control.Connection) error) error
}

// Env is what a command line runs in.
type Env struct {
	// Program is the name that messages call the program by.
	Program string
	// Stdout and Stderr take the listing and the messages.
	Stdout, Stderr io.Writer
	// Table is the director. It is asked only if the command needs it.
	Table Lister
	// Lookup is where names come from.
	Lookup Lookup
}

// Run does what a command line asks, given without the program's name, and returns
// the exit status.
func Run(ctx context.Context, e Env, args []string) int {
	out := bufio.NewWriterSize(e.Stdout, 64<<10)
	err := e.run(ctx, out, args)
	if ferr := out.Flush(); err == nil && ferr != nil {
		err = &failure{exitList, ferr.Error()}
	}
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(e.Stderr, err)
	var f *failure
	if errors.As(err, &f) {
		return f.status
	}
	return exitFailure
}

func (e *Env) run(ctx context.Context, out *bufio.Writer, args []string) error {
	if len(args) == 0 {
		return e.list(ctx, out, &request{})
	}
	r, err := e.parse(ctx, args)
	if err != nil {
		return err
	}
	switch r.cmd {
	case cmdHelp:
		_, err = fmt.Fprintf(out, helpText, e.Program, Version)
	case cmdVersion:
		_, err = fmt.Fprintln(out, Version)
	default:
		err = e.list(ctx, out, r)
	}
	return err
}

// list prints the table, one service or the connections.
func (e *Env) list(ctx context.Context, out *bufio.Writer, r *request) error {
	var n Names = Numeric{}
	if !r.given[optNumeric] {
		byName, cancel := e.Lookup.names(ctx)
		defer cancel()
		n = byName
	}
	if r.given[optConnection] {
		return e.listConnections(ctx, out, n)
	}
	return e.listServices(ctx, out, r, n)
}

func (e *Env) listServices(ctx context.Context, out *bufio.Writer, r *request, n Names) error {
	l, err := e.Table.Services(ctx)
	if err != nil {
		return fail("Can't initialize ipvs: %v", err)
	}
	services := servicesOf(l)
	var b []byte
	if r.given[optService] {
		if services = only(services, r.service); services == nil {
			return &failure{exitList, "No such service"}
		}
	} else {
		b = AppendVersion(b, l.TableSize)
	}
	b = AppendTitle(b)
	if !r.given[optNoSort] {
		sortServices(services)
	}
	for i := range services {
		if !r.given[optNoSort] {
			sortServers(services[i].Servers)
		}
		b = services[i].Append(b, n)
	}
	_, err = out.Write(b)
	return err
}

// only returns the service that key names, nil if there is none.
func only(services []Service, key Key) []Service {
	for i := range services {
		if services[i].Key == key {
			return services[i : i+1]
		}
	}
	return nil
}

// listConnections prints connections while they arrive, in the director's order.
func (e *Env) listConnections(ctx context.Context, out *bufio.Writer, n Names) error {
	b := AppendConnectionTitle(nil)
	titled := false
	err := e.Table.Connections(ctx, func(c control.Connection) error {
		if titled {
			b = b[:0]
		}
		titled = true
		line := connectionOf(c)
		b = line.Append(b, n)
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
		return &failure{exitList, err.Error()}
	}
	return fail("Can't initialize ipvs: %v", err)
}
