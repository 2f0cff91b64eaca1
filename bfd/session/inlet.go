package session

import "uvs/bfd"

// An inlet is one of the receiving sockets.
type inlet int

// The receiving sockets: a family and a port each.
const (
	singleHop4 inlet = iota
	singleHop6
	multiHop4
	multiHop6

	inlets = 4
)

// inletOf returns the socket that a session receives by.
func inletOf(c *Config) inlet {
	i := singleHop4
	if c.Peer.Is6() {
		i = singleHop6
	}
	if c.MultiHop {
		i += multiHop4
	}
	return i
}

func (i inlet) is6() bool      { return i == singleHop6 || i == multiHop6 }
func (i inlet) multiHop() bool { return i >= multiHop4 }

// port returns the UDP port of received packets.
func (i inlet) port() int { return portOf(i.multiHop()) }

func portOf(multiHop bool) int {
	if multiHop {
		return bfd.PortMultiHop
	}
	return bfd.PortSingleHop
}
