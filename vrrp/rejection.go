package vrrp

import (
	"fmt"
	"strconv"
)

// A Cause is why a packet was dropped, one for each check.
type Cause uint8

// The causes, in the order of the checks.
const (
	CauseOwn         Cause = iota // the source is an address of our own
	CauseFamily                   // IPv4 for an IPv6 instance, or the reverse
	CauseTruncated                // too short for its headers
	CauseVRID                     // of another virtual router
	CauseAH                       // authentication header without auth_type AH, or the reverse
	CauseShort                    // shorter than its address count says
	CauseLong                     // longer than its address count says
	CauseTTL                      // multicast with a TTL or hop limit other than 255: it passed a router
	CauseVersion                  // another version
	CauseAuthUnknown              // a type of authentication that does not exist
	CauseAuth                     // another type of authentication
	CausePassword                 // another password
	CauseAHNext                   // authentication header of another protocol
	CauseAHDigest                 // authentication header with a wrong digest: mostly another password
	CauseAHSPI                    // authentication header whose SPI is not the source address
	CauseAHReplay                 // authentication header with a sequence number that does not grow
	CauseInterval                 // another interval in version 2, none in version 3
	CauseType                     // not an advert
	CauseCount                    // another number of addresses
	CauseChecksum                 // wrong checksum
	CauseDestination              // multicast for a unicast instance, or the reverse
	CauseAddresses                // other addresses
	CausePeer                     // not from a peer
	CausePeerTTL                  // from a peer with a TTL or hop limit out of its bounds
	causes
)

// String returns a short word for labels of metrics, which stays as it is: "password",
// "ah_replay".
func (c Cause) String() string {
	if c < causes {
		return causeWords[c].label
	}
	return "cause_" + strconv.Itoa(int(c))
}

// causeWords are the label of each cause and the phrase around their value and ours.
var causeWords = [causes]struct{ label, phrase string }{
	CauseOwn:         {"own", "own packet from %[1]s came back"},
	CauseFamily:      {"family", "packet is %s, ours %s"},
	CauseTruncated:   {"truncated", "packet has %s, headers alone %s"},
	CauseVRID:        {"vrid", "VRID %s, ours %s"},
	CauseAH:          {"ah", "packet %s, ours %s"},
	CauseShort:       {"short", "packet has %s, its address count says %s"},
	CauseLong:        {"long", "packet has %s, its address count says %s"},
	CauseTTL:         {"ttl", "TTL %s, multicast of the same link has %s"},
	CauseVersion:     {"version", "version %s, ours %s"},
	CauseAuthUnknown: {"auth_unknown", "authentication %s does not exist, ours %s"},
	CauseAuth:        {"auth", "authentication %s, ours %s"},
	CausePassword:    {"password", "password differs from ours"},
	CauseAHNext:      {"ah_next", "authentication header of protocol %s, not %s"},
	CauseAHDigest:    {"ah_digest", "AH digest differs: another password, or changed on its way"},
	CauseAHSPI:       {"ah_spi", "AH SPI %s is not the source address %s"},
	CauseAHReplay:    {"ah_replay", "AH sequence number %s, already had %s"},
	CauseInterval:    {"interval", "advert interval %s, ours %s"},
	CauseType:        {"type", "message type %s, an advert is %s"},
	CauseCount:       {"count", "%s addresses, ours %s"},
	CauseChecksum:    {"checksum", "checksum %s should be %s"},
	CauseDestination: {"destination", "sent by %s, ours %s"},
	CauseAddresses:   {"addresses", "addresses differ: only theirs %s, only ours %s"},
	CausePeer:        {"peer", "source %s is not a unicast peer; have %s"},
	CausePeerTTL:     {"peer_ttl", "TTL %s, this peer may have %s"},
}

// A Rejection is why a packet was dropped, with what its sender has and what we have. Values
// carry their unit. Passwords are never in it.
type Rejection struct {
	Cause        Cause
	Theirs, Ours string

	phrase string // keepalived's words, without the instance
}

// String returns one phrase with the field, their value and ours: "advert interval 2s, ours
// 1s".
func (r *Rejection) String() string {
	if r.Cause >= causes {
		return r.Cause.String()
	}
	switch r.Cause {
	case CauseOwn:
		return fmt.Sprintf(causeWords[r.Cause].phrase, r.Theirs)
	case CausePassword, CauseAHDigest:
		return causeWords[r.Cause].phrase
	}
	return fmt.Sprintf(causeWords[r.Cause].phrase, r.Theirs, r.Ours)
}

// Keepalived returns what keepalived 2.2.7 logs for the cause, for filters that match it:
// "(VI_1) received an invalid passwd!". It is empty where keepalived is silent. CauseAH and
// CauseDestination have words that are seldom seen, as such packets rarely meet keepalived's
// sockets, one for each protocol and for multicast and unicast.
func (r *Rejection) Keepalived(instance string) string {
	switch {
	case r.phrase == "", r.Cause == CauseTruncated, r.Cause == CauseAHSPI:
		return r.phrase // keepalived leaves the instance out
	}
	return "(" + instance + ") " + r.phrase
}

// truncated is a packet with have of the want bytes that its headers need. keepalived counts
// both with the IP header.
func truncated(have, want int, kind string) *Rejection {
	r := &Rejection{Cause: CauseTruncated, Theirs: size(have), Ours: size(want)}
	if kind != "" {
		r.phrase = fmt.Sprintf("%s too short - %d bytes", kind, have)
	}
	return r
}

func wrongLength(have, want int) *Rejection {
	cause, word := CauseShort, "short"
	if have > want {
		cause, word = CauseLong, "long"
	}
	return &Rejection{cause, size(have), size(want),
		fmt.Sprintf("vrrp packet too %s, length %d and expect %d", word, have, want)}
}

func wrongVersion(theirs uint8, ours string) *Rejection {
	return &Rejection{CauseVersion, strconv.Itoa(int(theirs)), ours,
		fmt.Sprintf("wrong version. Received %d and expect %s", theirs, ours)}
}

func wrongType(kind uint8) *Rejection {
	return &Rejection{CauseType, strconv.Itoa(int(kind)), strconv.Itoa(typeAdvert),
		fmt.Sprintf("Invalid packet type. %d and expect %d", kind, typeAdvert)}
}

func size(n int) string { return strconv.Itoa(n) + " bytes" }
