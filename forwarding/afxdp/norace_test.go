//go:build !race && netns

package afxdp_test

const raceEnabled = false
