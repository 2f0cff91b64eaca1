// Package control is how a running director is asked what it does: HTTP with
// JSON bodies over the Unix socket control.sock in the run directory.
//
// The package holds the three sides of that conversation. The types (Status,
// ServiceList, Connection and what they contain) are the JSON documents. Serve
// answers them from a Director, which the daemon implements; a Client asks for
// them and is itself a Director, so whatever prints a table works on either side of the
// socket.
//
//	GET /v1/status        Status
//	GET /v1/services      ServiceList
//	GET /v1/connections   one Connection per line (application/x-ndjson)
//	GET /v1/sysctls       all Sysctl
//	POST /v1/edits        {"edits": […]} of Edit: all are done, or none (409 with an EditError in "edit")
//	POST /v1/reload       Reloading, answered by Reloaded
//	POST /v1/sysctls      {"name": "…", "value": "…"}
//
// A document that is sent may have no fields that the director does not know, and at most 64
// KiB (edits: 16 MiB).
//
// Every other answer is {"error": "…"} with a 4xx or 5xx status. Field names are
// snake_case and stable: fields are added, never renamed or given a new meaning,
// and clients ignore fields they do not know. Times are RFC 3339, durations are
// whole seconds in fields that end in _seconds, addresses are text without names.
//
// Only root and the user that the director runs as are answered. The socket's mode
// (0600) says so to the kernel and the peer's credentials (SO_PEERCRED) say so to
// Serve, which holds even where the socket's mode was changed.
package control
