//go:build netns

package steer

// DivertVerdict runs the program of a device on a frame, and reports whether it is diverted.
func (d *Diverter) DivertVerdict(at Doorway, frame []byte) (bool, error) {
	v, err := d.load(at, 1, xdpDrop) // no socket is in its map
	if err != nil {
		return false, err
	}
	verdict, _, err := v.prog.Test(frame)
	if err != nil {
		v.Close() //nolint:errcheck // the first error counts
		return false, err
	}
	return verdict == xdpDrop, v.Close()
}

// NFTGate and XTGate close addresses by one mechanism.
func NFTGate(from, to Closed) error { return nftGate{}.set(mustNormal(from), mustNormal(to)) }

// XTGate is NFTGate for iptables-legacy.
func XTGate(from, to Closed) error { return xtGate{}.set(mustNormal(from), mustNormal(to)) }

func mustNormal(c Closed) Closed {
	n, err := c.normal()
	if err != nil {
		panic(err)
	}
	return n
}
