package config

import (
	"net/netip"
	"time"
)

// vrrpDefaults are the words of global_defs that instances inherit.
type vrrpDefaults struct {
	version          uint8
	strict           bool
	link             string // default_interface
	announce         Announce
	downTimerAdverts int
	lowerNoAdvert    bool
	higherSend       bool
	ownerIgnores     bool
	asV2             bool
	checkPeers       bool
	skipAddressCheck bool
	group4, group6   netip.Addr
	macPrefix        string
	macPrefixSet     bool // by the configuration
	mail             bool
	priorityChanges  bool
}

// vrrpBinder is what a binder remembers of the blocks of VRRP, tracking and routing.
type vrrpBinder struct {
	defaults vrrpDefaults
	alerts   alertDefaults
	announceDefaults
	blocks      map[string]map[string]Pos // all blocks with a name: keyword → name → first place
	instances   map[string]Pos
	drafts      []*instanceDraft
	syncGroups  []*groupDraft
	statics     []*trackGroupDraft
	deviceOwner map[string]string // name of a macvlan or ipvlan → its vrrp_instance
	garpOwner   map[string]bool   // interfaces in a garp_group
	hasTLS      bool

	trackedScripts, trackedFiles, trackedProcesses, trackedBFDs trackables
	nextRule4, nextRule6                                        uint32 // rules without priority so far
}

func newVRRPBinder(f *File) vrrpBinder {
	v := vrrpBinder{
		blocks: make(map[string]map[string]Pos), instances: make(map[string]Pos), deviceOwner: make(map[string]string),
		garpOwner: make(map[string]bool), trackedScripts: make(trackables), trackedFiles: make(trackables),
		trackedProcesses: make(trackables), trackedBFDs: make(trackables),
	}
	for _, s := range f.Statements {
		if len(s.Args) == 0 {
			continue
		}
		if v.blocks[s.Keyword] == nil {
			v.blocks[s.Keyword] = make(map[string]Pos)
		}
		if _, taken := v.blocks[s.Keyword][s.Args[0].Text]; !taken {
			v.blocks[s.Keyword][s.Args[0].Text] = s.Pos
		}
	}
	return v
}

// standardDefaults are those of a file without global_defs.
func standardDefaults() vrrpDefaults {
	const repeat, delay = 5, 5 * time.Second
	return vrrpDefaults{
		version: 2,
		link:    "eth0",
		announce: Announce{
			Repeat: repeat, Delay: delay, RefreshRepeat: 1, LowerPrioRepeat: repeat, LowerPrioDelay: delay,
		},
		downTimerAdverts: 3,
		group4:           netip.AddrFrom4([4]byte{224, 0, 0, 18}),
		group6:           netip.AddrFrom16([16]byte{0xff, 2, 15: 0x12}),
		macPrefix:        "vrrp",
	}
}
