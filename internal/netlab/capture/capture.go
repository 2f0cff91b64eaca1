// Package capture records the packets of an interface of a netlab host with tcpdump and
// hands them out decoded. It links gopacket, so only tests and benchmarks import it.
package capture

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"uvs/internal/netlab"
)

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second

	// SnapLen is how many bytes of a packet are kept. tcpdump's ring has slots of the
	// same size whatever is in them: with slots for the largest GSO frame, 16 MiB hold
	// 256 packets, and a test on a busy machine loses some.
	SnapLen = 2048
	// ringKiB makes the ring large enough for 16000 packets that tcpdump has not yet read.
	ringKiB = 32 << 10
)

// A Capture is a running tcpdump. Safe for use by many goroutines.
type Capture struct {
	host   *netlab.Host
	ifname string
	proc   *netlab.Process
}

// Start begins to record what passes one interface of the host in either direction and
// matches the filter, in tcpdump's words; an empty filter takes everything. When Start
// returns, recording has begun. Frames that the sender puts out by AF_XDP are seen where
// they are received, not where they are sent.
func Start(h *netlab.Host, ifname, filter string) (*Capture, error) {
	args := []string{"-i", ifname, "-n", "-p", "-U", "-w", "-", "-Z", "root",
		"-s", strconv.Itoa(SnapLen), "-B", strconv.Itoa(ringKiB), "--immediate-mode"}
	if filter != "" {
		// The marker comes first: "vlan" in a filter moves the offsets of what follows.
		args = append(args, fmt.Sprintf("ether proto %#x or (%s)", markerType, filter))
	}
	p, err := h.Start("tcpdump", args...)
	if err != nil {
		return nil, err
	}
	if err := p.WaitOutput(startTimeout, "listening on"); err != nil {
		_ = p.Signal(os.Kill) // the first error is the one that tells
		return nil, err
	}
	return &Capture{host: h, ifname: ifname, proc: p}, nil
}

// Packets returns what has been recorded so far, oldest first, each with its time and
// its length on the wire in Metadata; of longer ones the first [SnapLen] bytes. The
// packets are the caller's.
func (c *Capture) Packets() ([]gopacket.Packet, error) {
	return parse(c.proc.Stdout(), func(frame []byte) bool { return !isMarker(frame) })
}

// Stop ends the recording and returns all of it: every packet that passed the interface
// before the call is in it, or the error says how many were lost. A second call returns
// the same.
func (c *Capture) Stop() ([]gopacket.Packet, error) {
	select {
	case <-c.proc.Done():
	default:
		if err := c.drain(); err != nil {
			return nil, fmt.Errorf("capture on %s %s: %w", c.host.Name(), c.ifname, err)
		}
	}
	return c.Packets()
}

// Sync waits until all that passed the interface before the call is in Packets: tcpdump may
// be behind on a busy machine. On an interface that is down nothing is waited for.
func (c *Capture) Sync() error {
	mark := []byte(rand.Text())
	err := c.host.Do(func() error { return sendMarker(c.ifname, mark) })
	switch {
	case errors.Is(err, errDown): // then nothing is under way
	case err != nil:
		return fmt.Errorf("send marker: %w", err)
	default:
		if err := c.proc.WaitOutput(stopTimeout, string(mark)); err != nil {
			// The output is packets: of no use in a message.
			return fmt.Errorf("no marker after %v: %s", stopTimeout, c.proc.Stderr())
		}
	}
	return nil
}

// drain ends tcpdump when a frame of our own, sent now, has come through it, as it leaves what
// it has not yet read when told to end.
func (c *Capture) drain() error {
	if err := c.Sync(); err != nil {
		return err
	}
	if err := c.proc.Stop(); err != nil {
		return err
	}
	lost := regexp.MustCompile(`[1-9][0-9]* packets? dropped by kernel`).FindString(c.proc.Stderr())
	if lost != "" {
		return errors.New(lost)
	}
	return nil
}

// parse decodes a pcap stream, whose last packet may be cut off, as far as it goes.
func parse(stream string, keep func(frame []byte) bool) ([]gopacket.Packet, error) {
	r, err := pcapgo.NewReader(strings.NewReader(stream))
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read pcap header: %w", err)
	}
	var ps []gopacket.Packet
	for {
		frame, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return ps, nil
		}
		if err != nil {
			return ps, fmt.Errorf("read pcap: %w", err)
		}
		if !keep(frame) {
			continue
		}
		p := gopacket.NewPacket(frame, layers.LinkTypeEthernet, gopacket.NoCopy)
		p.Metadata().CaptureInfo = info
		ps = append(ps, p)
	}
}

// markerType is the EtherType of IEEE 802 for local experiments.
const markerType = 0x88b5

// markerFrame returns a frame that carries mark, from and to nobody.
func markerFrame(mark []byte) []byte {
	frame := []byte{0x02, 0x75, 0x76, 0x73, 0, 0, 0x02, 0x75, 0x76, 0x73, 0, 0, markerType >> 8, markerType & 0xff}
	frame = append(frame, mark...)
	const minimum = 60
	return append(frame, make([]byte, max(0, minimum-len(frame)))...)
}

func isMarker(frame []byte) bool {
	return len(frame) >= 14 && bytes.Equal(frame[12:14], []byte{markerType >> 8, markerType & 0xff})
}
