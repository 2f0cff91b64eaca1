//go:build netns && !guest

package e2e

// slowness is by how much longer than on a quiet machine a program may take.
const slowness = 1
