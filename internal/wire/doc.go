// Package wire holds views on packet headers and the Internet checksum.
//
// A view is a byte slice with a type: reading a field costs a load, writing one changes
// the packet in place. Views do not check lengths. Each type says how many bytes must be
// there, and whoever makes the view (forwarding's one decode per frame) checks that once.
// All numbers are returned in host order. Views own nothing; they may be used by many
// goroutines as long as nobody writes.
package wire
