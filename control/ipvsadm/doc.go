// Package ipvsadm answers the command line of ipvsadm 1.31 against a running
// director: the same grammar, the same listings to the byte, the same messages and
// exit statuses, so that scripts written for ipvsadm go on working.
//
// The scanner and the rules of which option goes with which command are tables
// (grammar.go) that hold the whole of ipvsadm's grammar; the commands that are
// served are those of commands. Printing is pure: tables of Service, Server and
// Connection in, text out.
//
// What the listings look like and why was taken from ipvsadm's source and from
// popt's behaviour; where ours knowingly differs the code says so.
package ipvsadm
