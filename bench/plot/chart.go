package plot

import (
	"fmt"
	"math"
	"strings"
)

// A Chart is one picture. Each of its points is a group of bars, one for each series that has a
// value there.
type Chart struct {
	Title  string
	Unit   string // of all values
	Points []string
	Series []Series
}

// A Series is one contender's values, one for each point of the chart.
type Series struct {
	Name   string
	Values []Value
}

// A Value is a median with its spread. One that is not Known is left out.
type Value struct {
	Median, Min, Max float64
	Known            bool
}

// The layout, in pixels. The legend is on the right.
const (
	height          = 340
	left, right     = 64, 190
	top, bottom     = 40, 48
	plotHeight      = height - top - bottom
	leastWidth      = 600 // of all points
	pointWidth      = 150 // for a point's name
	legendLine      = 18
	barPart         = 0.8 // of a group's width that bars take
	ticks           = 5
	labelCharacters = 26
)

// colours are for up to ten series, and are told apart in shades of grey too.
func colours() []string {
	return []string{"#555555", "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#bcbd22", "#17becf"}
}

// plotWidth is that of all points.
func (c Chart) plotWidth() int { return max(leastWidth, pointWidth*len(c.Points)) }

// SVG returns the picture.
func (c Chart) SVG() string {
	var b strings.Builder
	width := left + c.plotWidth() + right
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n",
		width, height, width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="%d" y="20" font-size="14" font-weight="bold">%s</text>`+"\n", left, escape(c.Title))
	axis := axisTo(c.greatest())
	c.grid(&b, axis)
	for i, s := range c.Series {
		colour := colours()[i%len(colours())]
		c.bars(&b, i, s, colour, axis)
		y := top + 6 + i*legendLine
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="11" height="11" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n",
			width-right+14, y, colour, width-right+30, y+10, escape(s.Name))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// greatest returns the largest value of all series with its spread.
func (c Chart) greatest() float64 {
	most := 0.0
	for _, s := range c.Series {
		for _, v := range s.Values {
			if v.Known {
				most = math.Max(most, math.Max(v.Median, v.Max))
			}
		}
	}
	return most
}

// An axis goes from 0 to top in steps.
type axis struct{ top, step float64 }

// axisTo returns an axis that holds a value, in steps of 1, 2 or 5 times a power of ten.
func axisTo(value float64) axis {
	if value <= 0 {
		return axis{1, 1.0 / ticks}
	}
	step := math.Pow(10, math.Floor(math.Log10(value/ticks)))
	for _, factor := range []float64{1, 2, 5, 10} {
		if step*factor*ticks >= value {
			step *= factor
			break
		}
	}
	return axis{step * math.Ceil(value/step), step}
}

// y returns where a value is.
func (a axis) y(value float64) float64 { return top + plotHeight*(1-value/a.top) }

func (c Chart) grid(b *strings.Builder, a axis) {
	for i := 0; float64(i)*a.step <= a.top*1.0001; i++ {
		value := float64(i) * a.step
		y := a.y(value)
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#dddddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			left, y, left+c.plotWidth(), y, left-6, y+4, number(value))
	}
	fmt.Fprintf(b, `<text x="14" y="%d" transform="rotate(-90 14 %d)" text-anchor="middle">%s</text>`+"\n",
		top+plotHeight/2, top+plotHeight/2, escape(c.Unit))
	for i, p := range c.Points {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", c.centre(i), top+plotHeight+18, escape(shorten(p)))
	}
}

// centre returns where the middle of a point's group is.
func (c Chart) centre(point int) float64 {
	return left + (float64(point)+0.5)*float64(c.plotWidth())/float64(len(c.Points))
}

func (c Chart) bars(b *strings.Builder, index int, s Series, colour string, a axis) {
	group := float64(c.plotWidth()) / float64(len(c.Points)) * barPart
	bar := group / float64(len(c.Series))
	for i, v := range s.Values {
		if !v.Known {
			continue
		}
		x := c.centre(i) - group/2 + float64(index)*bar
		y := a.y(v.Median)
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", x, y, bar*0.92, top+plotHeight-y, colour)
		whisker(b, x+bar*0.46, v, a)
	}
}

// whisker is the line from the least to the greatest value.
func whisker(b *strings.Builder, x float64, v Value, a axis) {
	fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="black"/>`+"\n", x, a.y(v.Min), x, a.y(v.Max))
}

// number prints a tick without digits that say nothing.
func number(v float64) string { return strings.TrimSuffix(fmt.Sprintf("%.6g", v), ".0") }

func shorten(s string) string {
	if r := []rune(s); len(r) > labelCharacters {
		return string(r[:labelCharacters-1]) + "…"
	}
	return s
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
