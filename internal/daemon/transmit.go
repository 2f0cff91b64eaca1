package daemon

import (
	"fmt"
	"slices"

	"uvs/internal/hostnet"
)

// The words of --transmit.
const (
	transmitAuto     = "auto"
	transmitSendmmsg = "sendmmsg"
	transmitAFXDP    = "afxdp"
)

// unshaped lists the queueing disciplines that only queue. Frames that go past them lose
// nothing that somebody asked for.
func unshaped() []string {
	return []string{"", "noqueue", "mq", "pfifo_fast", "pfifo", "bfifo", "fq", "fq_codel"}
}

// planTransmit says whether an interface's frames go out by AF_XDP, or why they do not. asked
// is --transmit.
//
// Devices on top of others are left to sendmmsg: what AF_XDP makes has no protocol noted, by
// which filters and fair queueing below would know its flows.
func planTransmit(asked string, l hostnet.Link, path hostnet.TransmitPath) (afxdp bool, reason string) {
	switch {
	case asked == transmitSendmmsg || l.Loopback: // lo gets a frame now and then
		return false, ""
	case asked == transmitAFXDP:
		return true, ""
	case l.Kind != "" && l.Kind != "veth":
		return false, fmt.Sprintf("no afxdp: it is a device of kind %s", l.Kind)
	case !slices.Contains(unshaped(), path.Qdisc):
		return false, fmt.Sprintf("no afxdp: qdisc %s would not see the frames", path.Qdisc)
	}
	return true, ""
}
