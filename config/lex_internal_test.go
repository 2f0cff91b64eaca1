package config

import (
	"slices"
	"testing"
)

// TestShellWords holds the quoting of commands and regular expressions.
func TestShellWords(t *testing.T) {
	tests := []struct {
		name, in string
		want     []string
		ok       bool
	}{
		{"plain", ` /bin/x  a	b `, []string{"/bin/x", "a", "b"}, true},
		{"double quotes", `"/bin/x a" b`, []string{"/bin/x a", "b"}, true},
		{"quotes inside a word", `a"b c"d'e "f'`, []string{`ab cde "f`}, true},
		{"quotes of the other kind", `"it's" 'say "x"'`, []string{"it's", `say "x"`}, true},
		{"empty words", `"" ''`, []string{"", ""}, true},
		{"escaped blank and quote", `a\ b \"c`, []string{"a b", `"c`}, true},
		{"control characters", `\a\b\E\f\n\r\t\v`, []string{"\a\b\x1b\f\n\r\t\v"}, true},
		{"octal, hexadecimal, control", `\101\x41\x4a\cA`, []string{"AAJ\x01"}, true},
		{"escape that is none", `\q\xz`, []string{"qxz"}, true},
		{"backslash at the end", `a\`, []string{`a\`}, true},
		{"open quote", `a "b`, []string{"a"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ws, ok := shellWords(text{s: tt.in, base: 1})
			var got []string
			for _, w := range ws {
				got = append(got, w.Text)
			}
			if !slices.Equal(got, tt.want) || ok != tt.ok {
				t.Errorf("%s gives %q, %t; want %q, %t", tt.in, got, ok, tt.want, tt.ok)
			}
		})
	}
}

// TestColumns holds that a word keeps its column through comments, quotes and definitions.
func TestColumns(t *testing.T) {
	var out []Word
	var diags findings
	r := newReader(nil, Options{}, &diags, func(t text) {
		ws, _ := words(t)
		out = append(out, ws...)
	})
	r.file("x", []byte("$A=long text\n\t a\\#b \"c d\" ${A}  $A e # f\n"))
	want := []struct {
		text   string
		column int
	}{{"a#b", 3}, {"c d", 8}, {"long", 14}, {"text", 14}, {"long", 20}, {"text", 20}, {"e", 23}}
	if len(out) != len(want) || len(diags.list) != 0 {
		t.Fatalf("got %v, %v", out, diags.list)
	}
	for i, w := range want {
		if out[i].Text != w.text || out[i].Column != w.column || out[i].Line != 2 {
			t.Errorf("word %d is %q at %d:%d, want %q at 2:%d", i, out[i].Text, out[i].Line, out[i].Column, w.text, w.column)
		}
	}
}

// TestExpandBraces holds csh's alternatives.
func TestExpandBraces(t *testing.T) {
	tests := []struct {
		in   string
		want []string
	}{
		{"a", []string{"a"}},
		{"a{b,c}d", []string{"abd", "acd"}},
		{"{a,b{c,d}}/{e,f}", []string{"a/e", "a/f", "bc/e", "bc/f", "bd/e", "bd/f"}},
		{"{,x}y", []string{"y", "xy"}},
		{"a{b", []string{"a{b"}},
		{"a}b{c,d}", []string{"a}bc", "a}bd"}},
		{"{a,b}{a,b}{a,b}{a,b}{a,b}", nil},
	}
	for _, tt := range tests {
		if got := expandBraces(tt.in, 16); !slices.Equal(got, tt.want) {
			t.Errorf("%s gives %q, want %q", tt.in, got, tt.want)
		}
	}
}

// TestSuggest holds what counts as near.
func TestSuggest(t *testing.T) {
	have := []string{"rr", "wrr", "wlc", "lb_algo", "lb_kind", "TCP_CHECK", "virtual_server", "virtual_server_group", "weight"}
	for in, want := range map[string]string{
		"wrx": "wrr", "wcl": "wlc", "round-robin": "", "lb_algorithm": "lb_algo", "tcp_check": "TCP_CHECK", "wieght": "weight",
		"virtual_servers": "virtual_server", "x": "", "": "", "weigth": "weight", "FULLNAT": "", "lb_alog": "lb_algo",
	} {
		if got := suggest(in, have); got != want {
			t.Errorf("%q suggests %q, want %q", in, got, want)
		}
	}
}
