package plot_test

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"uvs/bench/plot"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func chart() plot.Chart {
	v := func(min, median, max float64) plot.Value {
		return plot.Value{Median: median, Min: min, Max: max, Known: true}
	}
	return plot.Chart{
		Title: "pps & <more>", Unit: "Mpackets/s", Points: []string{"1 flow", "1000 flows", "a point with a name that is too long"},
		Series: []plot.Series{
			{Name: "kernel", Values: []plot.Value{v(1.5, 2, 2.2), v(1.8, 1.9, 2), v(1, 1.2, 1.3)}},
			{Name: "uvs-nat", Values: []plot.Value{v(1.4, 1.5, 1.6), {}, v(0.9, 1, 1.1)}},
		},
	}
}

// TestSVG holds a chart to a golden file that was looked at, and to be XML.
func TestSVG(t *testing.T) {
	got := chart().SVG()
	for d := xml.NewDecoder(strings.NewReader(got)); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join("testdata", "bars.svg")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestNothing: a chart without a value is still a picture.
func TestNothing(t *testing.T) {
	if got := (plot.Chart{Title: "empty", Points: []string{"a"}}).SVG(); strings.Contains(got, "NaN") || strings.Contains(got, "Inf") {
		t.Errorf("got\n%s", got)
	}
}
