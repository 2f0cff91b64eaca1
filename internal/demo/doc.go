// Package demo shows a director at work: it builds whole sites in network namespaces,
// runs the real uvs binary in them, kills a real server under load and brings it back, kills
// a director and stops it, and holds what was seen against what must be true.
//
// Nothing but the binary is needed. The directors, the web servers and ipvsadm are
// processes of the same file; the clients are goroutines that dial from the client's
// namespace. Package netlab guarantees that all of it is gone afterwards, however the
// demo ends.
//
// What is seen is collected as plain values (outcome), so that the verdicts and every
// picture are pure functions of them.
package demo
