package daemon

import (
	"testing"

	"uvs/config"
)

// TestVerdicts: what `uvs run` refuses, with and without --strict, and what a reload does.
func TestVerdicts(t *testing.T) {
	note, warning := config.Diagnostic{Severity: config.Note}, config.Diagnostic{Severity: config.Warning}
	fault, fatal := config.Diagnostic{Severity: config.Error}, config.Diagnostic{Severity: config.Error, Fatal: true}
	for _, tt := range []struct {
		name                  string
		findings              config.Diagnostics
		plain, strict, reload bool // refuses
	}{
		{"nothing", nil, false, false, false},
		{"notes", config.Diagnostics{note, note}, false, false, false},
		{"values adjusted as keepalived adjusts them", config.Diagnostics{note, warning}, false, false, false},
		{"an error that keepalived falls back from", config.Diagnostics{warning, fault}, false, true, true},
		{"an error that keepalived exits on", config.Diagnostics{fault, fatal}, true, true, true},
	} {
		l := loaded{file: "web.conf", findings: tt.findings}
		for _, way := range []struct {
			name string
			err  error
			want bool
		}{
			{"run", refuse("web.conf", tt.findings, false), tt.plain},
			{"run --strict", refuse("web.conf", tt.findings, true), tt.strict},
			{"reload", l.refuse(), tt.reload},
		} {
			if (way.err != nil) != way.want {
				t.Errorf("%s: %s says %v, want a refusal: %t", tt.name, way.name, way.err, way.want)
			}
		}
	}
}
