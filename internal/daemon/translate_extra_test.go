package daemon

import (
	"net/netip"
	"slices"
	"testing"

	"uvs/config"
	"uvs/internal/table"
)

// TestExtraNotes: what an extra file says that comes to nothing is named, with its place.
func TestExtraNotes(t *testing.T) {
	service := func(port uint16, protocol config.Protocol, pool bool) config.ExtraService {
		s := config.ExtraService{
			Pos: config.Pos{File: "extra", Line: int(port), Column: 1}, Protocol: protocol,
			Addr: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.10"), port),
		}
		if pool {
			s.Pool = config.Pool{Pos: config.Pos{File: "extra", Line: int(port) + 1, Column: 2}, FirstPort: 1}
		}
		return s
	}
	x := config.Extra{Services: []config.ExtraService{
		service(21, table.TCP, true), service(80, table.TCP, true), service(121, table.TCP, false), service(443, 0, true),
	}}
	var services []table.FileService
	for _, port := range []uint16{21, 80, 443} {
		services = append(services, table.FileService{Key: table.Key{Protocol: table.TCP, Addr: netip.MustParseAddr("192.0.2.10"), Port: port}})
	}
	want := []string{
		"extra:22:2: note: FTP's control connections are not read with fullnat, so that data connections fail",
		"extra:121:1: note: the configuration has no such service; this counts once an operator adds it",
	}
	if got := extraNotes(&x, services); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
