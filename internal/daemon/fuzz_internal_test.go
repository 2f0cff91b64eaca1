package daemon

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"uvs/control"
	"uvs/internal/table"
)

// FuzzEdits: whatever edits an operator's client sends, the table takes all of them or says
// which one it refuses and why; and the engine takes every table that they make.
func FuzzEdits(f *testing.F) {
	f.Add([]byte(`[{"op":"add_service","service":{"protocol":"tcp","address":"192.0.2.10","port":80,"scheduler":"mh","flags":["mh-port"],"netmask":"255.255.255.0","persistence":300}},
		{"op":"add_server","service":{"protocol":"tcp","address":"192.0.2.10","port":80},"server":{"address":"198.51.100.11","port":80,"method":"nat","weight":1,"upper_threshold":9}},
		{"op":"edit_server","service":{"protocol":"tcp","address":"192.0.2.10","port":80},"server":{"address":"198.51.100.11","port":80,"method":"dr","weight":0}},
		{"op":"delete_server","service":{"protocol":"tcp","address":"192.0.2.10","port":80},"server":{"address":"198.51.100.11","port":80}}]`))
	f.Add([]byte(`[{"op":"add_service","service":{"protocol":"udp","address":"2001:db8::10","port":0,"scheduler":"rr","netmask":"64","persistence":1}},
		{"op":"add_server","service":{"protocol":"udp","address":"2001:db8::10"},"server":{"address":"2001:db8::11","port":0,"method":"dr","weight":2147483647}},
		{"op":"add_server","service":{"protocol":"udp","address":"2001:db8::10"},"server":{"address":"2001:db8::12","method":"dr","weight":1}},
		{"op":"zero_all"},{"op":"set_timeouts","timeouts":{"tcp":1}}]`))
	f.Add([]byte(`[{"op":"add_service","service":{"fwmark":7,"scheduler":"sed","one_packet":true}},
		{"op":"add_server","service":{"fwmark":7},"server":{"address":"::ffff:198.51.100.11","method":"tun","weight":1,"tunnel":{"type":"gue","port":1,"checksum":"csum"}}},{"op":"clear"}]`))
	f.Add([]byte(`[{"op":"add_service","service":{"protocol":"tcp","address":"::ffff:192.0.2.10","port":80,"scheduler":"rr"}},{"op":"add_service","service":{"protocol":"tcp","address":"fe80::1%eth0","port":80,"scheduler":"lc"}}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var edits []control.Edit
		if json.Unmarshal(text, &edits) != nil {
			return // not a client of ours
		}
		d := &desk{t: t, table: table.New(), engine: newEngine(t)}
		if err := d.Edit(t.Context(), edits); err != nil {
			var refused *control.EditError
			if errors.As(err, &refused) && (refused.Index >= len(edits) || refused.Code == "" || refused.Message == "") {
				t.Errorf("refused: %+v", refused)
			}
			return
		}
		if _, err := d.Services(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// FuzzRunDirectory: whatever stands in the files of the run directory is refused with the
// file's name or taken, and what was taken is written so that the next run takes the same.
func FuzzRunDirectory(f *testing.F) {
	f.Add([]byte(`[{"interface":"eth0","prefix":"192.0.2.10/24"},{"interface":"lo","prefix":"2001:db8::1/128"}]`))
	f.Add([]byte(`[{"interface":"eth0","index":3,"features":["tx-generic-segmentation","rx-gro"]}]`))
	f.Add([]byte(`[{}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := runDir(t.TempDir())
		for _, name := range []string{addressesFile, offloadsFile} {
			if err := os.WriteFile(filepath.Join(string(dir), name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if list, err := dir.ownedAddresses(); err == nil {
			if err := dir.writeOwnedAddresses(list); err != nil {
				t.Fatal(err)
			}
			if again, err := dir.ownedAddresses(); err != nil || !slices.Equal(list, again) {
				t.Errorf("took %v, and then %v (%v)", list, again, err)
			}
		}
		if list, err := dir.ownedOffloads(); err == nil {
			if err := dir.writeOwnedOffloads(list); err != nil {
				t.Fatal(err)
			}
			again, err := dir.ownedOffloads()
			if err != nil || !slices.EqualFunc(list, again, func(a, b ownedOffloads) bool {
				return a.Interface == b.Interface && a.Index == b.Index && slices.Equal(a.Features, b.Features)
			}) {
				t.Errorf("took %v, and then %v (%v)", list, again, err)
			}
		}
	})
}

// FuzzProcess: any process may choose its name, and so what stands in its stat.
func FuzzProcess(f *testing.F) {
	f.Add("7 (keepalived) S 1 7 7 0")
	f.Add("7 (a) b) (c) R 1")
	f.Add("7 )( S 1")
	f.Fuzz(func(t *testing.T, stat string) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(stat), 0o600); err != nil {
			t.Fatal(err)
		}
		if name, _, ok := processOf(dir); ok && len(name)+2 > len(stat) {
			t.Errorf("%q has the name %q", stat, name)
		}
	})
}
