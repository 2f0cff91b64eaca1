package ldirectord_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"uvs/config"
	"uvs/config/ldirectord"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// names are a host's resolver without a network.
func names() ldirectord.Resolver {
	return ldirectord.Resolver{
		Host: func(name string, v6 bool) (netip.Addr, error) {
			if name == "check.example.com" && !v6 {
				return netip.MustParseAddr("198.51.100.9"), nil
			}
			if name == "web4.example.com" && !v6 {
				return netip.MustParseAddr("192.0.2.24"), nil
			}
			return netip.Addr{}, fmt.Errorf("no such host")
		},
		Port: func(_, service string) (uint16, error) {
			if service == "http" {
				return 80, nil
			}
			return 0, fmt.Errorf("no such service")
		},
	}
}

// TestConvert compares what becomes of files, and what is said about them, with golden files,
// and has what comes out read as keepalived.conf.
func TestConvert(t *testing.T) {
	files, err := filepath.Glob("testdata/*.cf")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			conf, found := ldirectord.Convert(filepath.Base(file), string(text), names())
			var said strings.Builder
			for i := range found {
				fmt.Fprintln(&said, found[i].Error())
			}
			for ext, got := range map[string]string{".conf": conf, ".said": said.String()} {
				golden := strings.TrimSuffix(file, ".cf") + ext
				if *update {
					if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("%s is\n%s\nwant\n%s", golden, got, want)
				}
			}
			if found.HasErrors() {
				return
			}
			fsys := fstest.MapFS{"keepalived.conf": {Data: []byte(conf)}}
			_, diags := config.Load(fsys, "keepalived.conf", config.Options{}, func(*config.File) config.Host { return config.Host{AnyInterface: true} })
			if diags.HasErrors() {
				t.Errorf("what comes out is no keepalived.conf:\n%v", diags)
			}
		})
	}
}

// TestArguments: what a program of a MISC_CHECK is called with survives both of keepalived's ways of quoting.
func TestArguments(t *testing.T) {
	const password = `a'b"c\d #e !f $g`
	conf, _ := ldirectord.Convert("x.cf", "virtual=192.0.2.10:3306\n\treal=192.0.2.21:3306 masq\n\trequest=\"SELECT 1\"\n"+
		"\tlogin=m\n\tdatabase=d\n\tpasswd=\""+strings.ReplaceAll(password, "#e", "e")+"\"\n", names())
	fsys := fstest.MapFS{"keepalived.conf": {Data: []byte(conf)}}
	c, diags := config.Load(fsys, "keepalived.conf", config.Options{}, func(*config.File) config.Host { return config.Host{AnyInterface: true} })
	if diags.HasErrors() || len(c.VirtualServers) != 1 {
		t.Fatalf("%v\n%s", diags, conf)
	}
	misc, ok := c.VirtualServers[0].RealServers[0].Checkers[0].(config.MiscCheck)
	if !ok {
		t.Fatalf("no MISC_CHECK:\n%s", conf)
	}
	want := "--password=" + strings.ReplaceAll(password, "#e", "e")
	found := false
	for _, a := range misc.Command.Args {
		found = found || a == want
	}
	if !found {
		t.Errorf("arguments %q, want %q among them; written as\n%s", misc.Command.Args, want, conf)
	}
}

// TestEveryPrefix: no part of a file makes Convert panic.
func TestEveryPrefix(t *testing.T) {
	for _, file := range []string{"testdata/every.cf", "testdata/bad.cf"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for n := range text {
			ldirectord.Convert("x.cf", string(text[:n]), names())
		}
	}
}
