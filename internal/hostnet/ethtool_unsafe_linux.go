package hostnet

import (
	"bytes"
	"encoding/binary"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Commands and sizes of include/uapi/linux/ethtool.h. All numbers are in the machine's byte
// order.
const (
	ethtoolGFeatures = 0x3a // ETHTOOL_GFEATURES
	ethtoolSFeatures = 0x3b // ETHTOOL_SFEATURES
	ethtoolGStrings  = 0x1b // ETHTOOL_GSTRINGS
	ethtoolGSsetInfo = 0x37 // ETHTOOL_GSSET_INFO
	ethSsFeatures    = 4    // ETH_SS_FEATURES
	ethGStringLen    = 32   // ETH_GSTRING_LEN
	getBlockBytes    = 16   // struct ethtool_get_features_block: available, requested, active, never changed
	setBlockBytes    = 8    // struct ethtool_set_features_block: valid, requested
)

// readFeatures reads the names and states of all features.
func readFeatures(ifname string) (*features, error) {
	// struct ethtool_sset_info: cmd, reserved, mask of 64 bits, a count for each bit.
	info := make([]byte, 20)
	binary.NativeEndian.PutUint32(info, ethtoolGSsetInfo)
	binary.NativeEndian.PutUint64(info[8:], 1<<ethSsFeatures)
	if err := ethtool(ifname, info); err != nil {
		return nil, err
	}
	n := int(binary.NativeEndian.Uint32(info[16:]))

	// struct ethtool_gstrings: cmd, set, count, strings.
	text := make([]byte, 12+n*ethGStringLen)
	binary.NativeEndian.PutUint32(text, ethtoolGStrings)
	binary.NativeEndian.PutUint32(text[4:], ethSsFeatures)
	binary.NativeEndian.PutUint32(text[8:], uint32(n))
	if err := ethtool(ifname, text); err != nil {
		return nil, err
	}
	f := &features{}
	for i := range n {
		name, _, _ := bytes.Cut(text[12+i*ethGStringLen:][:ethGStringLen], []byte{0})
		f.names = append(f.names, string(name))
	}

	// struct ethtool_gfeatures: cmd, number of blocks, blocks.
	blocks := (n + 31) / 32
	state := make([]byte, 8+blocks*getBlockBytes)
	binary.NativeEndian.PutUint32(state, ethtoolGFeatures)
	binary.NativeEndian.PutUint32(state[4:], uint32(blocks))
	if err := ethtool(ifname, state); err != nil {
		return nil, err
	}
	for i := range blocks {
		b := state[8+i*getBlockBytes:]
		f.available = append(f.available, binary.NativeEndian.Uint32(b))
		f.requested = append(f.requested, binary.NativeEndian.Uint32(b[4:]))
		f.active = append(f.active, binary.NativeEndian.Uint32(b[8:]))
	}
	return f, nil
}

// setFeatures switches features (struct ethtool_sfeatures: cmd, number of blocks, blocks).
func setFeatures(ifname string, c featureChange) error {
	request := make([]byte, 8+len(c.valid)*setBlockBytes)
	binary.NativeEndian.PutUint32(request, ethtoolSFeatures)
	binary.NativeEndian.PutUint32(request[4:], uint32(len(c.valid)))
	for i := range c.valid {
		b := request[8+i*setBlockBytes:]
		binary.NativeEndian.PutUint32(b, c.valid[i])
		binary.NativeEndian.PutUint32(b[4:], c.requested[i])
	}
	return ethtool(ifname, request)
}

// ifreqData is struct ifreq of linux/if.h with ifr_data; the kernel copies 40 bytes.
type ifreqData struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [24 - unsafe.Sizeof(uintptr(0))]byte
}

// ethtool does one SIOCETHTOOL in the calling thread's network namespace. The answer
// replaces the request.
func ethtool(ifname string, request []byte) error {
	if len(ifname) >= unix.IFNAMSIZ {
		return unix.ENODEV
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd) //nolint:errcheck // it holds nothing
	ifr := ifreqData{data: unsafe.Pointer(&request[0])}
	copy(ifr.name[:], ifname)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&ifr))); errno != 0 {
		return os.NewSyscallError("ioctl SIOCETHTOOL", errno)
	}
	return nil
}
