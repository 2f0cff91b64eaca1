// Package track follows what decides about a router's fitness beside the network: scripts, files with a number in them,
// and processes that must run.
//
// A [ScriptMachine] and a [ProcessMachine] decide; they are pure and know no clock, process or file. A [Set] runs the
// scripts, watches the files and counts the processes, and tells its owner by [Event] what changed and what is worth a
// log line. What a change means for a priority is the owner's.
//
// States and log texts are those of keepalived 2.2.7.
package track
