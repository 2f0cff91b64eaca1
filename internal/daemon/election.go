package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"uvs/config"
	"uvs/internal/hostconf"
	"uvs/internal/hostnet"
	"uvs/vrrp"
)

// A PeerFile is the configuration of another director, on this machine to be compared.
type PeerFile struct {
	File string
	// ConfigID chooses the lines with @; "" matches none.
	ConfigID string
}

// A rival is a director as its file has it.
type rival struct {
	file   string
	config *config.Config
	spec   vrrp.Spec
	groups map[string]netip.Addr // multicast groups by instance
	// sources are the addresses that instances send from, where they are known.
	sources map[string]netip.Addr
}

// newRival takes a configuration for an election. source finds addresses that the file does
// not name; nil knows none.
func newRival(file string, c *config.Config, source func(*config.Instance) netip.Addr) *rival {
	r := &rival{file: file, config: c, groups: make(map[string]netip.Addr), sources: make(map[string]netip.Addr)}
	r.spec, _, _ = translateVRRP(c)
	for n := range c.Instances {
		i := &c.Instances[n]
		r.groups[i.Name], r.sources[i.Name] = i.Send.Group, i.Send.Source
		if !i.Send.Source.IsValid() && source != nil {
			r.sources[i.Name] = source(i)
		}
	}
	return r
}

// candidate is an instance of a rival.
func (r *rival) candidate(i vrrp.Instance) vrrp.Candidate {
	return vrrp.Candidate{Router: r.file, Instance: i, Source: r.sources[i.Name], Group: r.groups[i.Name]}
}

// written is an instance as it is configured.
func (r *rival) written(name string) *config.Instance {
	at := slices.IndexFunc(r.config.Instances, func(i config.Instance) bool { return i.Name == name })
	return &r.config.Instances[at]
}

// counterpart finds the instance that is meant to be of one virtual router with i: of its
// family, and of the same VRID, with common addresses, or of the same name, in this order.
func (r *rival) counterpart(i *vrrp.Instance) (vrrp.Instance, bool) {
	best, most := -1, 0
	for n := range r.spec.Instances {
		o, score := &r.spec.Instances[n], 0
		if o.IPv6 != i.IPv6 {
			continue
		}
		if o.VRID == i.VRID {
			score += 4
		}
		if slices.ContainsFunc(o.Addresses, func(a netip.Addr) bool { return slices.Contains(i.Addresses, a) }) {
			score += 2
		}
		if o.Name == i.Name {
			score++
		}
		if score > most {
			best, most = n, score
		}
	}
	if best < 0 {
		return vrrp.Instance{}, false
	}
	return r.spec.Instances[best], true
}

// elections says in lines what each instance of the first rival does when its master goes,
// and who of all would win; and finds what keeps them from agreeing, a line each with its
// place.
func elections(ours *rival, peers []*rival) (lines, findings []string) {
	for n := range ours.spec.Instances {
		i := ours.spec.Instances[n]
		lines = append(lines, figures(&i))
		if len(peers) == 0 {
			continue
		}
		rivals, list := []*rival{ours}, []vrrp.Candidate{ours.candidate(i)}
		for _, p := range peers {
			o, ok := p.counterpart(&i)
			if !ok {
				findings = append(findings, fmt.Sprintf("%s: there is no vrrp_instance like %s of %s, by virtual_router_id %d, by addresses or by name",
					p.file, i.Name, ours.written(i.Name).Pos, i.VRID))
				continue
			}
			rivals, list = append(rivals, p), append(list, p.candidate(o))
		}
		findings = append(findings, differences(rivals, list)...)
		lines = append(lines, outcome(list)...)
	}
	return lines, findings
}

// figures are an instance's own.
func figures(i *vrrp.Instance) string {
	crash, stop := i.Takeover(i.AdvertInterval)
	text := fmt.Sprintf("vrrp_instance %s: VRID %d, priority %d, takes over %s after a crash of the master, %s after a clean stop",
		i.Name, i.VRID, i.Priority, seconds(crash), seconds(stop))
	if i.NoPreempt {
		text += ", and leaves a living master alone"
	}
	if i.PreemptDelay > 0 {
		text += fmt.Sprintf(", and a living master alone for %s", seconds(i.PreemptDelay))
	}
	if len(i.Faults) > 0 {
		text += "; but it stays in FAULT: " + strings.Join(i.Faults, ", ")
	}
	return text
}

// seconds writes a time with two decimals: "3.41 s".
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + " s" }

// differences names what keeps routers from agreeing, at its place in the later file, and
// next to the first file that it does not fit.
func differences(rivals []*rival, list []vrrp.Candidate) (findings []string) {
	for b := range list {
		before := len(findings)
		for a := 0; a < b && len(findings) == before; a++ {
			one, other := rivals[a].written(list[a].Name), rivals[b].written(list[b].Name)
			add := func(word, text string) {
				findings = append(findings, fmt.Sprintf("%s: vrrp_instance %s and that of %s would both be MASTER: %s", other.Where(word), other.Name, one.Where(word), text))
			}
			for _, m := range vrrp.Mismatches(&list[a], &list[b]) {
				add(wordOf(m.Cause, one, other), m.String())
			}
			if list[a].Priority == owner && list[b].Priority == owner {
				add("priority", "priority 255 is for one router, the owner of the addresses, ours has it")
			}
		}
	}
	return findings
}

// owner is the priority of who owns the addresses.
const owner = 255

// wordOf is the word of a vrrp_instance that a mismatch is about.
func wordOf(c vrrp.Cause, one, other *config.Instance) string {
	switch c {
	case vrrp.CauseVRID:
		return "virtual_router_id"
	case vrrp.CauseVersion:
		return "version"
	case vrrp.CauseAuth, vrrp.CausePassword, vrrp.CauseAH, vrrp.CauseAHDigest:
		return "authentication"
	case vrrp.CauseInterval:
		return "advert_int"
	case vrrp.CauseAddresses, vrrp.CauseCount, vrrp.CauseFamily:
		return "virtual_ipaddress"
	case vrrp.CausePeer, vrrp.CausePeerTTL:
		return "unicast_peer"
	case vrrp.CauseDestination:
		if one.Send.Unicast() || other.Send.Unicast() {
			return "unicast_peer"
		}
		return "mcast_dst_ip"
	case vrrp.CauseChecksum:
		if one.Send.Checksum == config.ChecksumAsV2 || other.Send.Checksum == config.ChecksumAsV2 {
			return "v3_checksum_as_v2"
		}
		return "old_unicast_checksum"
	}
	return ""
}

// outcome says who of the candidates wins.
func outcome(list []vrrp.Candidate) (lines []string) {
	all := vrrp.Elect(list)
	if len(list) == 1 {
		return nil
	}
	if len(all) > 1 {
		var sets []string
		for _, e := range all {
			sets = append(sets, routers(list, e.Members, " or "))
		}
		lines = append(lines, fmt.Sprintf("  %d are MASTER at a time: %s", len(all), strings.Join(sets, ", and ")))
	}
	for n := range all {
		if e := &all[n]; len(e.Members) > 1 {
			lines = append(lines, agreement(list, e)...)
		}
	}
	return lines
}

// routers joins the names of candidates.
func routers(list []vrrp.Candidate, of []int, word string) string {
	var names []string
	for _, m := range of {
		names = append(names, list[m].Router)
	}
	return strings.Join(names, word)
}

// agreement says what an election comes to.
func agreement(list []vrrp.Candidate, e *vrrp.Election) (lines []string) {
	if e.First < 0 {
		lines = append(lines, fmt.Sprintf("  start of all at once: cannot be foretold: %s; unicast_src_ip or mcast_src_ip in each file would tell it", e.Why))
	} else {
		lines = append(lines, fmt.Sprintf("  start of all at once: %s is MASTER after %s: %s", list[e.First].Router, seconds(e.After), e.Why))
	}
	if len(e.Lasting) == 1 {
		lines = append(lines, fmt.Sprintf("  all up: %s is MASTER, whoever was before", list[e.Lasting[0]].Router))
	} else {
		lines = append(lines, fmt.Sprintf("  all up: of %s whoever is MASTER first stays", routers(list, e.Lasting, " and ")))
	}
	if e.Successor >= 0 {
		lines = append(lines, fmt.Sprintf("  without %s: %s takes over %s after a crash, %s after a clean stop",
			list[e.First].Router, list[e.Successor].Router, seconds(e.Crash), seconds(e.Stop)))
	}
	return lines
}

// sourceOn finds the address that an instance sends from on this machine.
func sourceOn(s *hostnet.Snapshot, c *config.Config) func(*config.Instance) netip.Addr {
	virtual := virtualAddresses(c.Instances)
	return func(i *config.Instance) netip.Addr {
		link, ok := s.LinkByName(i.Interface)
		if !ok {
			return netip.Addr{}
		}
		a, _ := s.SourceOf(link.Index, i.IPv6, func(a netip.Addr) bool { return slices.Contains(virtual, a) })
		return a
	}
}

// readPeers reads the files of other directors. Their errors are among the findings, as
// they change who wins.
func readPeers(files []PeerFile) (peers []*rival, findings []string, err error) {
	for _, f := range files {
		c, list, err := hostconf.ReadElsewhere(f.File, hostconf.Options{ConfigID: f.ConfigID})
		if err != nil {
			return nil, nil, err
		}
		for i := range list {
			if list[i].Severity == config.Error {
				findings = append(findings, list[i].Error())
			}
		}
		peers = append(peers, newRival(f.File, c, nil))
	}
	return peers, findings, nil
}
