package ipvsadm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"uvs/control"
)

// Table is the service table that commands list and change; control.Client is one.
type Table interface {
	Services(ctx context.Context) (control.ServiceList, error)
	Connections(ctx context.Context, yield func(control.Connection) error) error
	Edit(ctx context.Context, edits []control.Edit) error
}

// Env is what a command line runs in.
type Env struct {
	// Program is the name that messages call the program by.
	Program string
	// Stdin is what -R reads.
	Stdin io.Reader
	// Stdout and Stderr take the listing and the messages.
	Stdout, Stderr io.Writer
	// Table is the director. It is asked only if the command needs it.
	Table Table
	// Lookup is where names come from.
	Lookup Lookup
}

// Run does what a command line asks, given without the program's name, and returns
// the exit status.
func Run(ctx context.Context, e Env, args []string) int {
	return e.report(func(out *bufio.Writer) error {
		if len(args) == 0 {
			return e.list(ctx, out, newRequest(cmdList))
		}
		r, err := e.parse(ctx, args)
		if err != nil {
			return err
		}
		if r.cmd == cmdRestore {
			return e.restore(ctx, out, e.Stdin, r.given[optAtomic])
		}
		return e.do(ctx, out, r)
	})
}

// report calls f, tells its error and returns the exit status.
func (e *Env) report(f func(out *bufio.Writer) error) int {
	out := bufio.NewWriterSize(e.Stdout, 64<<10)
	err := f(out)
	if ferr := out.Flush(); err == nil && ferr != nil {
		err = &failure{status: exitList, text: ferr.Error()}
	}
	if err == nil {
		return exitOK
	}
	var f2 *failure
	if !errors.As(err, &f2) {
		f2 = fail("%v", err)
	}
	if f2.text != "" {
		fmt.Fprintln(e.Stderr, f2.text)
	}
	return f2.status
}

// do does what a command but -R asks.
func (e *Env) do(ctx context.Context, out *bufio.Writer, r *request) error {
	switch r.cmd {
	case cmdHelp:
		_, err := fmt.Fprintf(out, helpText, e.Program, Version)
		return err
	case cmdVersion:
		_, err := fmt.Fprintln(out, Version)
		return err
	case cmdList:
		return e.list(ctx, out, r)
	case cmdSave:
		return e.save(ctx, out, r)
	case cmdStartDaemon:
		return &failure{status: exitRefused, text: "connection sync is not served by uvs yet", goesOn: true}
	case cmdStopDaemon:
		return &failure{status: exitRefused, text: "No daemon is running", goesOn: true}
	}
	edit, ok := r.edit()
	if !ok {
		return fail("%s: the command %s cannot stand here", e.Program, r.spelled)
	}
	if err := e.Table.Edit(ctx, []control.Edit{edit}); err != nil {
		return refusal(edit.Op, err)
	}
	return nil
}
