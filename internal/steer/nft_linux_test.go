package steer

import "testing"

func TestGenerationOf(t *testing.T) {
	tests := []struct {
		table string
		n     uint64
		ours  bool
	}{
		{"uvs_steer_7", 7, true},
		{"uvs_steer_", 0, false},
		{"uvs_steer_mine", 0, false},
		{"uvs_steer", 0, false},
		{"uvs_steer_7x", 0, false},
		{"filter", 0, false},
	}
	for _, tt := range tests {
		if n, ours := generationOf(tt.table); n != tt.n || ours != tt.ours {
			t.Errorf("generationOf(%q) = %d, %v, want %d, %v", tt.table, n, ours, tt.n, tt.ours)
		}
	}
	if got := nextName([]string{"uvs_steer_9", "uvs_steer_10"}); got != "uvs_steer_11" {
		t.Errorf("nextName = %s, want uvs_steer_11", got)
	}
}
