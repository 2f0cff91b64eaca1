//go:build !race

package conntrack

// touchEntries: Touch reads entries, too.
const touchEntries = true
