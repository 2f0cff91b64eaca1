package control

import "net/netip"

// IP is the protocol of the persistence templates of services with a firewall mark, which
// hold for every protocol.
const IP Protocol = "ip"

// Connection is one line of the answer to GET /v1/connections: a tracked flow, or the
// template that keeps a client at its server.
type Connection struct {
	Protocol Protocol `json:"protocol"`
	// Template tells that this is a persistence template.
	Template bool `json:"template,omitempty"`
	// State is the kernel's name of the flow's state as `ipvsadm -Lc` prints it:
	// "ESTABLISHED", "FIN_WAIT", "UDP". Templates are "NONE", or "ASSURED" once a
	// connection of theirs was established.
	State string `json:"state"`
	// Expires is the time left until the flow is forgotten if no packet comes.
	Expires Seconds `json:"expires_seconds"`
	// Client, Virtual and Server are the three ends of the flow. Of a template, Client is
	// the client's network with port 0. With protocol IP, Virtual is the mark in the first
	// four bytes of an address, as IPVS lists it: 0.0.0.7:0.
	Client  netip.AddrPort `json:"client"`
	Virtual netip.AddrPort `json:"virtual"`
	Server  netip.AddrPort `json:"server"`
	// Local is the end from which the server sees the flow come, if that is not the client's
	// (FULLNAT).
	Local netip.AddrPort `json:"local,omitzero"`
	// PersistenceEngine and PersistenceData are what a persistence engine made the
	// template from, such as "sip" and a Call-ID; empty without one.
	PersistenceEngine string `json:"persistence_engine,omitempty"`
	PersistenceData   string `json:"persistence_data,omitempty"`
}
