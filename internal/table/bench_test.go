package table_test

import (
	"testing"

	"uvs/internal/table"
)

// BenchmarkTable is what 10 000 services of three servers each take: to load the file, to load it
// again, to copy the table, to edit a service, to judge a server, and to list all.
func BenchmarkTable(b *testing.B) {
	const services = 10_000
	key := func(i int) table.Key { return table.Key{Protocol: table.TCP, Addr: web.Addr, Port: uint16(1 + i)} }
	file := make([]table.FileService, services)
	for i := range file {
		f := table.FileService{Key: key(i), Settings: table.ServiceSettings{Scheduler: "wlc"}, Group: key(i).String(), Quorum: 1}
		for k := range 3 {
			f.Servers = append(f.Servers, table.FileServer{Addr: addr(k), Settings: table.ServerSettings{Weight: 1}})
		}
		file[i] = f
	}
	t := table.New()
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			t = table.New()
			t.Load(file)
		}
	})
	b.Run("load again", func(b *testing.B) {
		for b.Loop() {
			t.Load(file)
		}
	})
	b.Run("copy", func(b *testing.B) {
		for b.Loop() {
			t.Clone()
		}
	})
	b.Run("edit", func(b *testing.B) {
		for b.Loop() {
			if err := t.EditService(key(services-1), table.ServiceSettings{Scheduler: "rr"}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("judge", func(b *testing.B) {
		for up := false; b.Loop(); up = !up {
			t.Judge(table.Verdict{Group: key(services - 1).String(), Server: addr(1), Up: up})
		}
	})
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			t.Services()
		}
	})
}
