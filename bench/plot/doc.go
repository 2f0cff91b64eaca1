// Package plot draws small charts as SVG: groups of bars, each with the spread that its value
// was measured with. It is pure: the same chart is the same text.
package plot
