package forwarding

import (
	"slices"
	"testing"

	"uvs/conntrack"
	"uvs/internal/wire"
)

// countedPort notes that it was closed.
type countedPort struct {
	nullPort
	name   string
	closed *[]string
}

func (p *countedPort) Close() error {
	*p.closed = append(*p.closed, p.name)
	return nil
}

// TestSetPortsClosesWhatNobodyHas: ports of a list that another one replaced before the
// worker took it up are closed as well, those that stay are not.
func TestSetPortsClosesWhatNobodyHas(t *testing.T) {
	e, err := New(Config{Workers: 1, Flows: conntrack.Config{MaxFlows: 10}})
	if err != nil {
		t.Fatal(err)
	}
	var closed []string
	port := func(name string, link int) *countedPort {
		return &countedPort{nullPort{link: link, mac: wire.MAC{2}}, name, &closed}
	}
	first, second, third, fourth := port("first", 1), port("second", 2), port("third", 3), port("fourth", 4)
	w := e.Workers()[0]
	w.SetPorts([]Port{first, second})
	w.usePorts()
	w.SetPorts([]Port{first, third}) // never taken up
	w.SetPorts([]Port{first, fourth})
	w.usePorts()
	slices.Sort(closed)
	if want := []string{"second", "third"}; !slices.Equal(closed, want) {
		t.Errorf("closed %v, want %v", closed, want)
	}
	closed = nil
	w.SetPorts([]Port{second}) // the engine never runs again
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(closed)
	if want := []string{"first", "fourth", "second"}; !slices.Equal(closed, want) {
		t.Errorf("after Close %v are closed, want %v", closed, want)
	}
}
