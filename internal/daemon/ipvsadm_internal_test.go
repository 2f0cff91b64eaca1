package daemon

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"testing"

	"uvs/control"
	"uvs/control/ipvsadm/ipvsadmtest"
	"uvs/forwarding"
	"uvs/internal/table"
)

// A desk is a director's table and engine without a network: what operators edit and list.
type desk struct {
	t      *testing.T
	table  *table.Table
	engine *forwarding.Engine
}

func (d *desk) Services(context.Context) (control.ServiceList, error) {
	return listed(d.table.Services(), d.engine, nil), nil
}

func (d *desk) Connections(context.Context, func(control.Connection) error) error { return nil }

// Edit does what the director's Edit does but for steering.
func (d *desk) Edit(_ context.Context, edits []control.Edit) error {
	next, after, err := edited(d.table, edits)
	if err != nil {
		return err
	}
	enter(d.t, d.engine, next)
	d.table = next
	for _, do := range after {
		if err := do(d.engine); err != nil && !errors.Is(err, forwarding.ErrNoService) {
			return err
		}
	}
	return nil
}

// A deskWorld plays transcripts on a desk.
type deskWorld struct{ *desk }

func (w *deskWorld) Reset(t *testing.T) {
	w.desk = &desk{t: t, table: table.New(), engine: newEngine(t)}
}

func (w *deskWorld) Local(*testing.T, netip.Addr) {}

func (w *deskWorld) Send(t *testing.T, _ netip.AddrPort, _, _ int, _ netip.AddrPort) {
	t.Error("nothing is sent here")
}

func (w *deskWorld) Connections(t *testing.T, _ []string) { t.Error("there are no connections here") }

func (w *deskWorld) Run(t *testing.T, args []string, stdin string) ipvsadmtest.Answer {
	t.Helper()
	return ipvsadmtest.Run(t, w.desk, args, stdin)
}

func (w *deskWorld) ProcFile(t *testing.T, name string) string {
	t.Helper()
	return ipvsadmtest.ProcFile(t, w.desk, name)
}

// TestAnswersAsIPVS gives the director's own table the commands that the real ipvsadm and a
// kernel's IPVS were given, through the path that operators' edits take, and wants the same
// answers to the byte. What is of traffic and connections is held in control/ipvsadm.
func TestAnswersAsIPVS(t *testing.T) {
	files, err := filepath.Glob("../../control/ipvsadm/testdata/captured/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		if name == "traffic.txt" || name == "connections.txt" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			w := &deskWorld{}
			w.Reset(t)
			ipvsadmtest.Read(t, file).Play(t, w, func(e *ipvsadmtest.Entry, got ipvsadmtest.Answer) { e.Compare(t, file, got) })
		})
	}
}
