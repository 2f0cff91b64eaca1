//go:build race

package conntrack_test

const raceEnabled = true
