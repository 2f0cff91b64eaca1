package daemon

import (
	"fmt"
	"slices"

	"uvs/config"
	"uvs/internal/table"
)

// translateExtra puts what an extra file says of services into the table's terms.
func translateExtra(x *config.Extra) table.Extras {
	extras := table.Extras{Services: make(map[table.Key]table.Extra), Removed: translateRemoval(x.Removed)}
	for i := range x.Services {
		s := &x.Services[i]
		for _, k := range extraKeys(s) {
			extras.Services[k] = table.Extra{ReplyByUplink: s.ReplyByUplink, Pool: translatePool(s.Pool), Removed: translateRemoval(s.Removed)}
		}
	}
	return extras
}

// translateRemoval is what becomes of connections in the table's terms.
func translateRemoval(r config.Removal) table.Removal {
	how := map[string]table.Fate{"drain": table.Drain, "drop": table.Drop, "reset": table.Reset}[r.How]
	return table.Removal{How: how, Time: r.Time}
}

// translateLimits lists how many servers may go down at once, in percent, by the name by which their
// health is known, and by "" for all. The services of one group share their servers' health, and so the
// limit of the first that has one.
func translateLimits(x *config.Extra, services []table.FileService) map[string]int {
	limits := make(map[string]int)
	if x.PanicThreshold != 0 {
		limits[""] = x.PanicThreshold
	}
	for i := range x.Services {
		s := &x.Services[i]
		keys := extraKeys(s)
		for _, f := range services {
			if s.PanicThreshold != 0 && limits[f.Group] == 0 && slices.Contains(keys, f.Key) {
				limits[f.Group] = s.PanicThreshold
			}
		}
	}
	return limits
}

// extraKeys lists the services that a block may be about.
func extraKeys(s *config.ExtraService) []table.Key {
	if s.Fwmark != 0 {
		return []table.Key{{Fwmark: s.Fwmark, IPv6: s.IPv6}}
	}
	protocols := []uint8{uint8(s.Protocol)}
	if s.Protocol == 0 {
		protocols = []uint8{table.TCP, table.UDP, table.SCTP}
	}
	var keys []table.Key
	for _, p := range protocols {
		end := endOf(s.Addr)
		keys = append(keys, table.Key{Protocol: p, Addr: end.Addr(), Port: end.Port()})
	}
	return keys
}

// extraNotes names the blocks of an extra file whose services the configuration does not have,
// and those that keep FTP's data connections from the helper.
func extraNotes(x *config.Extra, services []table.FileService) (notes []string) {
	for i := range x.Services {
		s := &x.Services[i]
		keys := extraKeys(s)
		if !slices.ContainsFunc(services, func(f table.FileService) bool { return slices.Contains(keys, f.Key) }) {
			notes = append(notes, fmt.Sprintf("%s: note: the configuration has no such service; this counts once an operator adds it", s.Pos))
		}
		ftp := func(k table.Key) bool { return k.Protocol == table.TCP && k.Port == ftpPort }
		if s.Pool != (config.Pool{}) && slices.ContainsFunc(keys, ftp) {
			notes = append(notes, fmt.Sprintf("%s: note: FTP's control connections are not read with fullnat, so that data connections fail", s.Pool.Pos))
		}
	}
	return notes
}
