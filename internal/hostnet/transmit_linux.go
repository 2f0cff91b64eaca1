package hostnet

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// A TransmitPath is what stands between a packet and an interface's driver.
type TransmitPath struct {
	// Queues is the number of transmit queues in use, 1 at the least.
	Queues int
	// Qdisc is the kind of the root queueing discipline: "noqueue", "fq_codel", "mq" …
	Qdisc string
}

// TransmitPathOf reads how an interface of the calling thread's network namespace sends. No
// event tells of changes.
func TransmitPathOf(link int) (TransmitPath, error) {
	messages, err := askLink(link)
	if err != nil {
		return TransmitPath{}, fmt.Errorf("read interface %d: %w", link, err)
	}
	p := TransmitPath{Queues: 1}
	for _, m := range messages {
		if len(m) < unix.SizeofIfInfomsg {
			continue
		}
		for kind, v := range attributes(m[unix.SizeofIfInfomsg:]) {
			switch kind {
			case unix.IFLA_IFNAME:
				p.Queues = transmitQueues(text(v))
			case unix.IFLA_QDISC:
				p.Qdisc = text(v)
			}
		}
	}
	return p, nil
}

// askLink asks the kernel for one interface.
func askLink(link int) ([][]byte, error) {
	s, err := openActs()
	if err != nil {
		return nil, err
	}
	defer s.file.Close() //nolint:errcheck // it was only asked
	return s.ask(request{unix.RTM_GETLINK, 0, linkMessage(link, 0, 0), nil})
}

// transmitQueues returns how many transmit queues an interface uses (struct
// ethtool_channels). A driver that does not tell has one.
func transmitQueues(ifname string) int {
	const (
		ethtoolGChannels = 0x3c // ETHTOOL_GCHANNELS
		size             = 36
		txCount          = 24
		combinedCount    = 32
	)
	b := make([]byte, size)
	binary.NativeEndian.PutUint32(b, ethtoolGChannels)
	if ethtool(ifname, b) != nil {
		return 1
	}
	return max(int(binary.NativeEndian.Uint32(b[txCount:])+binary.NativeEndian.Uint32(b[combinedCount:])), 1)
}
