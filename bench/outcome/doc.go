// Package outcome holds what benchmarks measured: single runs as they come, and their
// summary over rounds with ratios, spread and verdicts. It renders summaries as Markdown,
// and finds what got worse from one to the next. It measures nothing itself.
//
// Ratios are taken within a round and then summarised, so that a machine that is slower for
// a minute is slower for all. A median is always told with the least and the greatest value.
package outcome
