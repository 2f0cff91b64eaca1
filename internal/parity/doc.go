// Package parity holds a director's data plane to the kernel's IPVS: it plays scripts of
// commands and packets in a [World], and a script holds what IPVS answered to each.
//
// Two worlds are real: namespaces whose director is the kernel (that is where the answers
// of testdata come from) or the uvs binary (package e2e). The third one is the engine with
// the daemon's table in front, driven in virtual time without a network (package
// internal/daemon); it needs no rights and takes seconds, so that every run of the tests
// compares with the kernel.
//
// Every packet is written in full: a frame becomes a text only if that text makes the very
// same packet again, but for what never is the same twice, which are MAC addresses (told as
// the name of who gets the packet), IP identifications and time.
package parity
