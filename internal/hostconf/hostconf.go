// Package hostconf reads a keepalived.conf as this machine sees it: it gathers what
// [config.Bind] is to know of interfaces, users, programs and iproute2's names, and the
// label that lines with @ are chosen by. Nothing on the machine is changed.
package hostconf

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"uvs/config"
	"uvs/internal/hostnet"
)

// Options are what a caller may set.
type Options struct {
	// ConfigID chooses the lines that begin with @; "" is the machine's name up to the first
	// dot, as in keepalived.
	ConfigID string
	// Extra is the file with what is ours alone; "" is none.
	Extra string
}

// Read parses and binds a file of this machine's file system against its network as it is; ""
// is a file without a line.
// The findings about the extra file come last. The error is that a file's name cannot be made
// absolute; that one cannot be read is among the findings.
func Read(file string, network *hostnet.Snapshot, o Options) (*config.Config, config.Diagnostics, error) {
	root := os.DirFS("/")
	if o.ConfigID == "" {
		name, _ := os.Hostname() // without one no @id line matches
		o.ConfigID, _, _ = strings.Cut(name, ".")
	}
	opts := config.Options{ConfigID: o.ConfigID, LookupEnv: os.LookupEnv, Seed: uint64(time.Now().UnixNano()), Root: "/"}
	c, findings := config.Bind(&config.File{}, config.Host{})
	if file != "" {
		abs, err := filepath.Abs(file)
		if err != nil {
			return nil, nil, fmt.Errorf("configuration %s: %w", file, err)
		}
		c, findings = config.Load(root, strings.TrimPrefix(abs, "/"), opts, func(f *config.File) config.Host {
			return config.Host{
				Interfaces: names(network),
				Links:      links(network),
				RouteNames: routeNames(root),
				Users:      accounts(root, "etc/passwd"),
				Groups:     accounts(root, "etc/group"),
				Programs:   programs(root, filepath.SplitList(os.Getenv("PATH")), config.Programs(f)),
			}
		})
	}
	if o.Extra != "" {
		abs, err := filepath.Abs(o.Extra)
		if err != nil {
			return nil, nil, fmt.Errorf("extra file %s: %w", o.Extra, err)
		}
		extra, more := config.LoadExtra(root, strings.TrimPrefix(abs, "/"), opts, config.Host{Interfaces: names(network), Links: links(network)})
		c.Extra, findings = extra, append(findings, more...)
	}
	return c, findings, nil
}

// ReadElsewhere parses and binds a file that another machine runs, which lies on this one:
// nothing is known of that one's interfaces, users and programs, and nothing is said of
// them. ConfigID "" matches no line with @. The error is that of Read.
func ReadElsewhere(file string, o Options) (*config.Config, config.Diagnostics, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, nil, fmt.Errorf("configuration %s: %w", file, err)
	}
	root := os.DirFS("/")
	c, findings := config.Load(root, strings.TrimPrefix(abs, "/"), config.Options{
		ConfigID: o.ConfigID, LookupEnv: os.LookupEnv, Seed: uint64(time.Now().UnixNano()), Root: "/",
	}, func(*config.File) config.Host {
		return config.Host{AnyInterface: true, RouteNames: routeNames(root)}
	})
	return c, findings, nil
}

func names(s *hostnet.Snapshot) []string {
	list := make([]string, len(s.Links))
	for i, l := range s.Links {
		list[i] = l.Name
	}
	return list
}

// links translates what is known of the interfaces.
func links(s *hostnet.Snapshot) []config.Link {
	list := make([]config.Link, len(s.Links))
	for i, l := range s.Links {
		x := config.Link{
			Name: l.Name, MTU: l.MTU, Loopback: l.Loopback, NotEthernet: !l.Ethernet, Kind: l.Kind,
			Private: l.Private, MAC: l.MAC, Table: uint32(max(l.Table, 0)),
		}
		if base, ok := s.LinkByIndex(l.Parent); ok && l.Parent != 0 && (l.Kind == "macvlan" || l.Kind == "ipvlan") {
			x.Base = base.Name
		}
		for a := range s.OrderedAddressesOf(l.Index) {
			x.Addrs = append(x.Addrs, a.Prefix.Addr())
		}
		list[i] = x
	}
	return list
}

// accounts reads the names of passwd(5) or group(5).
func accounts(root fs.FS, file string) []string {
	b, err := fs.ReadFile(root, file)
	if err != nil {
		return nil
	}
	list := []string{}
	for line := range strings.Lines(string(b)) {
		if name, _, ok := strings.Cut(line, ":"); ok && name != "" {
			list = append(list, name)
		}
	}
	return list
}

// routeNames reads the tables of iproute2, those of the distribution first.
func routeNames(root fs.FS) config.RouteNames {
	table := func(file string) map[string]uint32 {
		names := make(map[string]uint32)
		for _, dir := range []string{"usr/share/iproute2/", "usr/lib/iproute2/", "etc/iproute2/"} {
			readNames(root, dir+file, names)
			more, _ := fs.Glob(root, dir+file+".d/*.conf") // the pattern is well-formed
			for _, m := range more {
				readNames(root, m, names)
			}
		}
		return names
	}
	return config.RouteNames{
		Tables: table("rt_tables"), DSFields: table("rt_dsfield"), Realms: table("rt_realms"),
		Protocols: table("rt_protos"), Scopes: table("rt_scopes"), Groups: table("group"),
	}
}

// readNames adds a file's lines "NUMBER NAME" to names. What is not such a line is skipped,
// as iproute2 does.
func readNames(root fs.FS, file string, names map[string]uint32) {
	b, err := fs.ReadFile(root, file)
	if err != nil {
		return // most machines have only some of them
	}
	for line := range strings.Lines(string(b)) {
		var number uint32
		var name string
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		if n, _ := fmt.Sscanf(line, "%v %s", &number, &name); n == 2 { // %v takes 0x, too
			names[name] = number
		}
	}
}

// programs looks at the files that commands begin with. Words without a slash are looked for
// in path.
func programs(root fs.FS, path, names []string) map[string]config.Program {
	known := make(map[string]config.Program, len(names))
	for _, name := range names {
		known[name] = program(root, path, name)
	}
	return known
}

func program(root fs.FS, path []string, name string) config.Program {
	candidates := []string{name}
	if !strings.Contains(name, "/") {
		candidates = nil
		for _, dir := range path {
			candidates = append(candidates, filepath.Join(dir, name))
		}
	}
	for _, file := range candidates {
		if !filepath.IsAbs(file) {
			continue
		}
		if info, err := fs.Stat(root, file[1:]); err == nil && info.Mode().IsRegular() {
			return config.Program{Unsafe: unsafePart(root, file)}
		}
	}
	return config.Program{Missing: true}
}

// unsafePart returns the first component of a path that others than root can change, which
// is the rule of keepalived's enable_script_security; "" if there is none.
func unsafePart(root fs.FS, file string) string {
	at := ""
	for part := range strings.SplitSeq(strings.TrimPrefix(filepath.Clean(file), "/"), "/") {
		at += "/" + part
		info, err := fs.Stat(root, at[1:])
		if err != nil || changeable(info) {
			return at
		}
	}
	return ""
}
