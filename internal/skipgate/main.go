// Command skipgate reads the output of go test -json, prints what go test without flags
// would, and fails where go test does not: as root, when a test was skipped that is not on
// the allow-list, and when no test ran at all.
//
//	go test -json -tags netns ./... | skipgate
//
// A test that is skipped everywhere guards nothing; without root some have to be.
package main

import (
	"fmt"
	"os"
)

func main() {
	g := newGate(os.Stdout, os.Geteuid() == 0, allowed())
	if err := g.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "skipgate:", err)
		os.Exit(2)
	}
	if !g.verdict() {
		os.Exit(1)
	}
}

// An exception is a test that may be skipped as root.
type exception struct {
	pkg, test string // the test's full name; a subtest's with its parents
	why       string
}

// allowed returns the allow-list.
func allowed() []exception {
	return []exception{
		{"uvs/conntrack", "TestNoAllocs", "the race detector allocates; make check runs it without, too"},
		{"uvs/conntrack", "TestNoAllocsOfLeases", "the race detector allocates; make check runs it without, too"},
	}
}
