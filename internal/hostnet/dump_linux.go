package hostnet

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// dumpAttempts is how often a dump is taken again because the kernel's table changed while
// it was read (NLM_F_DUMP_INTR).
const dumpAttempts = 5

// dump asks the kernel for whole parts and takes them into the state.
func (w *Watcher) dump(st *state, parts Parts) error {
	var (
		events []event
		rules  []Rule
	)
	for _, q := range queries {
		if q.part&parts == 0 {
			continue
		}
		messages, err := w.ask(q)
		if err != nil {
			return fmt.Errorf("dump %s: %w", q.name, err)
		}
		for _, m := range messages {
			switch q.part {
			case PartRules:
				if r, ok := decodeRule(m); ok && !r.standard() {
					rules = append(rules, r)
				}
				continue
			case PartOwnRoutes:
				if r, ok := decodeOwnRoute(m); ok && q.wants(m) {
					events = append(events, ownRoute{r})
				}
				continue
			}
			if ev := decode(q.answer, 0, m); ev != nil && q.wants(m) {
				events = append(events, ev)
			}
		}
	}
	slices.SortStableFunc(rules, func(a, b Rule) int {
		if a.IPv6 != b.IPv6 {
			if b.IPv6 {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Priority, b.Priority)
	})
	st.replace(parts, events, rules)
	return nil
}

// A query is one dump request. The payload's first byte is the family in each of the
// kernel's headers; size is the header's length.
type query struct {
	name            string
	part            Parts
	request, answer uint16
	family          byte
	size            int
	// protocol asks for routes of one protocol only. Kernels before 4.20 answer with all.
	protocol byte
}

// queries are all that a snapshot consists of. It is only ever read.
var queries = [...]query{
	{"links", PartLinks, unix.RTM_GETLINK, unix.RTM_NEWLINK, unix.AF_UNSPEC, unix.SizeofIfInfomsg, 0},
	{"addresses", PartAddresses, unix.RTM_GETADDR, unix.RTM_NEWADDR, unix.AF_UNSPEC, unix.SizeofIfAddrmsg, 0},
	{"neighbours", PartNeighbours, unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, unix.AF_UNSPEC, unix.SizeofNdMsg, 0},
	{"IPv4 routes", PartRoutes4, unix.RTM_GETROUTE, unix.RTM_NEWROUTE, unix.AF_INET, unix.SizeofRtMsg, 0},
	{"IPv6 routes", PartRoutes6, unix.RTM_GETROUTE, unix.RTM_NEWROUTE, unix.AF_INET6, unix.SizeofRtMsg, 0},
	{"rules", PartRules, unix.RTM_GETRULE, unix.RTM_NEWRULE, unix.AF_UNSPEC, unix.SizeofRtMsg, 0},
	{"forwarding", PartForwarding, unix.RTM_GETNETCONF, unix.RTM_NEWNETCONF, unix.AF_INET, 4, 0},
	{"forwarding", PartForwarding, unix.RTM_GETNETCONF, unix.RTM_NEWNETCONF, unix.AF_INET6, 4, 0},
	{"VRRP's IPv4 routes", PartOwnRoutes, unix.RTM_GETROUTE, unix.RTM_NEWROUTE, unix.AF_INET, unix.SizeofRtMsg, ProtocolKeepalived},
	{"VRRP's IPv6 routes", PartOwnRoutes, unix.RTM_GETROUTE, unix.RTM_NEWROUTE, unix.AF_INET6, unix.SizeofRtMsg, ProtocolKeepalived},
}

// wants reports whether an answer is of the family that was asked for: a kernel without
// IPv6 answers such a request with IPv4.
func (q query) wants(message []byte) bool {
	return q.family == unix.AF_UNSPEC || len(message) > 0 && message[0] == q.family
}

// ask executes a query, again if the answer was interrupted by a change.
func (w *Watcher) ask(q query) (messages [][]byte, err error) {
	if q.protocol != 0 {
		// Only a socket that is checked strictly has its filters obeyed.
		w.dumps.strict(true)
		defer w.dumps.strict(false)
	}
	for range dumpAttempts {
		req := nl.NewNetlinkRequest(int(q.request), unix.NLM_F_DUMP)
		header := make([]byte, q.size)
		header[0] = q.family
		if q.protocol != 0 {
			header[5] = q.protocol // rtm_protocol
		}
		req.AddRawData(header)
		messages, err = w.dumps.execute(req, q.answer)
		if err == nil {
			return messages, nil
		}
		if !errors.Is(err, nl.ErrDumpInterrupted) {
			break
		}
	}
	switch {
	case errors.Is(err, nl.ErrDumpInterrupted):
		// A table that changes faster than it can be read: what changed comes as events.
		return messages, nil
	case q.family == unix.AF_INET6 && (errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT)):
		return nil, nil // a kernel without IPv6
	}
	return nil, err
}
