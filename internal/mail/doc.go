// Package mail tells people of changes by SMTP.
//
// Functions such as [Instance] and [Quorum] write the [Message] that keepalived 2.2.7 would send; they are pure. A [Queue]
// sends messages, one after the other and each to all receivers at once. Who gives it a message never waits; messages
// that find it full are lost and counted, as are those that no server takes.
package mail
