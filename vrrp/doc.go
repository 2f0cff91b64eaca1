// Package vrrp is the Virtual Router Redundancy Protocol, versions 2 (RFC 3768) and 3
// (RFC 9568), as keepalived speaks it.
//
// A [Machine] decides for all instances and sync groups of one host. It is pure: events go
// in, effects come out, and it knows no clock, socket or goroutine. Its caller receives
// packets, follows interfaces and tracked objects, waits until [Machine.Deadline], and does
// what the effects say, in their order. vrrp/router is that caller.
//
// The words are keepalived's, as operators know them: MASTER, BACKUP and FAULT are Active,
// Backup and Initialize in RFC 9568; an advert is an ADVERTISEMENT.
package vrrp
