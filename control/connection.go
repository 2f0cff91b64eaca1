package control

import "net/netip"

// Connection is one line of the answer to GET /v1/connections: a tracked flow.
type Connection struct {
	Protocol Protocol `json:"protocol"`
	// State is the kernel's name of the flow's state as `ipvsadm -Lc` prints it:
	// "ESTABLISHED", "FIN_WAIT", "UDP".
	State string `json:"state"`
	// Expires is the time left until the flow is forgotten if no packet comes.
	Expires Seconds `json:"expires_seconds"`
	// Client, Virtual and Server are the three ends of the flow.
	Client  netip.AddrPort `json:"client"`
	Virtual netip.AddrPort `json:"virtual"`
	Server  netip.AddrPort `json:"server"`
}
