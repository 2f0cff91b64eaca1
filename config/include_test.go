package config_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"uvs/config"
)

// TestIncludeExit holds what `keepalived -t` 2.2.7 makes of includes that fail: by their letter, by include_check, or
// by both.
func TestIncludeExit(t *testing.T) {
	patterns := []string{
		"gone.inc", "gone/*.inc", "sub/*.gone", "sub/{one,two}.conf", "sub/{x,y}.conf", "exec.conf", "dir", "loop.conf",
		"sub/{one.conf,*.gone}", "s*/two.conf", "z*/two.conf", "sub/{*.x,*.y}", `sub/\{x`,
	}
	set := func(lines string) string {
		return "global_defs {\n" + strings.ReplaceAll(lines, "include_", "\ninclude_") + "\n}\n"
	}
	tests := []struct {
		before, word string
		want         string // exit statuses in the order of the patterns
	}{
		{"", "include", "0 0 0 0 0 0 0 0 0 0 0 0 0"},
		{"", "includer", "0 0 0 0 0 6 6 6 0 0 0 0 0"},
		{"", "includem", "6 6 0 0 0 6 6 6 0 6 0 0 0"},
		{"", "includew", "6 6 6 0 0 6 6 6 0 6 6 6 6"},
		{"", "includeb", "0 0 0 6 6 6 6 6 0 0 0 0 0"},
		{"", "includea", "6 6 6 6 6 6 6 6 0 6 6 6 6"},
		{set("include_check"), "include", "6 6 6 6 6 6 6 6 0 6 6 6 6"},
		{set("include_check read"), "include", "0 0 0 0 0 6 6 6 0 0 0 0 0"},
		{set("include_check match"), "include", "6 6 0 0 0 6 6 6 0 6 0 0 0"},
		{set("include_check wildcard_match"), "include", "0 0 6 0 0 6 6 6 0 0 6 6 6"},
		{set("include_check brace_match"), "include", "0 0 0 6 6 6 6 6 0 0 0 0 0"},
		{set("include_check +match"), "include", "6 6 0 0 0 0 0 0 0 6 0 0 0"},
		{set("include_check match -match"), "include", "0 0 0 0 0 6 6 6 0 0 0 0 0"},
		{set("include_check match -read"), "include", "6 6 0 0 0 0 0 0 0 6 0 0 0"},
		{set("include_check match include_check wildcard_match"), "include", "0 0 6 0 0 6 6 6 0 0 6 6 6"},
		{set("include_check include_check -match"), "include", "0 0 6 6 6 6 6 6 0 0 6 6 6"},
		{set("include_check wildcard_match"), "includem", "6 6 6 0 0 6 6 6 0 6 6 6 6"},
		{set("include_check match include_check nonsense"), "include", "5 5 5 5 5 5 5 5 5 5 5 5 5"},
		{set("include_check match include_check +nonsense"), "include", "6 6 5 5 5 6 6 6 5 6 5 5 5"},
		{"virtual_server 192.0.2.1 80 {\ninclude_check match\n}\n", "include", "5 5 5 5 5 5 5 5 5 5 5 5 5"}, // no word of that block
		{"include check.conf\n", "include", "0 0 0 0 0 0 0 0 0 0 0 0 0"},                                    // it holds to the end of its file
	}
	for _, tt := range tests {
		var got []string
		for _, pattern := range patterns {
			fsys := fstest.MapFS{
				"keepalived.conf": {Data: []byte(tt.before + tt.word + " " + pattern + "\n")},
				"sub/one.conf":    {Data: []byte("$A=1\n")}, "dir/x": {},
				"loop.conf":  {Data: []byte(tt.word + " loop.conf\n")},
				"exec.conf":  {Mode: 0o755},
				"check.conf": {Data: []byte(set("include_check"))},
			}
			_, diags := config.Load(fsys, "keepalived.conf", config.Options{}, onSite)
			got = append(got, fmt.Sprint(diags.Exit()))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%q before %s:\n got %v\nwant %s\n for %q", tt.before, tt.word, strings.Join(got, " "), tt.want, patterns)
		}
	}
}
