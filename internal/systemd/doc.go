// Package systemd tells systemd how the director is, in the words of sd_notify(3), and
// pings its watchdog as long as every part of the director goes on.
//
// [Judge] decides from signs of life which parts hang; it knows no clock and no socket.
// [Notifier] sends, and [Notifier.Watch] is the loop between the two. Without systemd, that
// is without NOTIFY_SOCKET in the environment, nothing is sent and the loop still tells who
// hangs.
package systemd
