package sched

// Flags change what a scheduler does. Values are the kernel's (IP_VS_SVC_F_SCHED1 to 3,
// include/uapi/linux/ip_vs.h). Schedulers other than sh and mh ignore them.
type Flags uint16

const (
	// Fallback lets sh and mh take another server when the client's own is not available
	// (sh-fallback, mh-fallback; flag-1).
	Fallback Flags = 0x0008
	// Port makes sh and mh tell the connections of a client apart by its source port
	// (sh-port, mh-port; flag-2).
	Port Flags = 0x0010
	// Third is used by no scheduler (flag-3).
	Third Flags = 0x0020
)
