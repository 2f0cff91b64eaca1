package config

// A Config is a configuration as it would run: every default filled in, every inheritance resolved, nothing in it
// that is not served. It holds no pointer into the File and belongs to the caller.
type Config struct {
	// RouterID names this director; "" means the host name.
	RouterID string
	// Global is the rest of global_defs.
	Global Global
	// Instances are the vrrp_instance blocks, in the order of the file.
	Instances []Instance
	// SyncGroups are the vrrp_sync_group blocks.
	SyncGroups []SyncGroup
	// Scripts, TrackFiles, TrackProcesses and BFDs are what can be tracked, whether anyone does or not.
	Scripts        []VRRPScript
	TrackFiles     []TrackFile
	TrackProcesses []TrackProcess
	BFDs           []BFD
	// Static is set from start to stop; TrackGroups are the instances that follow some of it.
	Static      Static
	TrackGroups []TrackGroup
	// GARPGroups and InterfaceDelays concern interfaces.
	GARPGroups      []GARPGroup
	InterfaceDelays []InterfaceDelay
	// ClientTLS is what HTTPS checkers show.
	ClientTLS ClientTLS
	// Process is what concerns the program as a whole.
	Process Process
	// VirtualServers are the services, in the order of the file. Each has at least one real server. A group is expanded
	// into one service for each of its addresses and marks.
	VirtualServers []VirtualServer
	// Extra is what another file says; see LoadExtra.
	Extra Extra
}
