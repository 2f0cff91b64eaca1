// Package fifo writes lines into named pipes for programs that want to hear of changes (notify_fifo and the like).
//
// A [Pipe] makes the FIFO if it is not there, takes lines from anybody without ever waiting, and keeps a reader running if
// one is configured. Lines that find the pipe full are lost, counted and said once. How a FIFO is made, opened and removed
// is keepalived 2.2.7's (lib/notify.c); it does not start its reader again.
package fifo
