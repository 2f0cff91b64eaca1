package hostmarks

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"uvs/config"
)

// A ruleset is what `nft -j` prints (libnftables-json(5)), as far as it matters.
type ruleset struct {
	Nftables []struct {
		Table *nftTable `json:"table"`
		Chain *nftChain `json:"chain"`
		Rule  *nftRule  `json:"rule"`
		Set   *nftSet   `json:"set"`
	} `json:"nftables"`
}

type nftTable struct{ Family, Name string }

type nftChain struct {
	Family, Table, Name, Hook string
	Prio                      int
}

type nftRule struct {
	Family, Table, Chain string
	Handle               int
	Expr                 []map[string]json.RawMessage
}

type nftSet struct {
	Family, Table, Name string
	Elem                []json.RawMessage
}

// iptablesTable reports tables that iptables-nft owns; iptables-save tells what is in them.
func iptablesTable(family, table string) bool {
	return (family == "ip" || family == "ip6") && slices.Contains([]string{"filter", "nat", "mangle", "raw", "security"}, table)
}

// parseTables reads which tables there are, and returns those that may mark packets of IP and are
// not of iptables.
func parseTables(text []byte) (list []nftTable, err error) {
	var all ruleset
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("nft -j list tables: %w", err)
	}
	for _, x := range all.Nftables {
		if t := x.Table; t != nil && slices.Contains([]string{"ip", "ip6", "inet"}, t.Family) && !iptablesTable(t.Family, t.Name) {
			list = append(list, *t)
		}
	}
	return list, nil
}

// parseNFT reads tables with all that is in them.
func parseNFT(text []byte) (chains []chain, notes []string, err error) {
	var all ruleset
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, nil, fmt.Errorf("nft -j list table: %w", err)
	}
	sets := make(map[string][]json.RawMessage)
	for _, x := range all.Nftables {
		if x.Set != nil {
			sets[x.Set.Family+" "+x.Set.Table+" @"+x.Set.Name] = x.Set.Elem
		}
	}
	marking := nftMarkingChains(&all)
	for _, x := range all.Nftables {
		c := x.Chain
		if c == nil || c.Hook != "prerouting" && c.Hook != "input" {
			continue
		}
		out := chain{hook: prerouting, priority: c.Prio}
		if c.Hook == "input" {
			out.hook = input
		}
		var ends []int // handles of rules that keep packets from those behind
		for _, y := range all.Nftables {
			r := y.Rule
			if r == nil || r.Family != c.Family || r.Table != c.Table || r.Chain != c.Name {
				continue
			}
			why := ""
			parsed, marks, err := parseRule(r, sets)
			switch target := jumpOf(r); {
			case marking[r.Family+" "+r.Table+" "+target]:
				why = "chains that others jump to are not followed"
			case !marks && parsed.final:
				ends = append(ends, r.Handle)
				continue
			case !marks:
				continue
			case err != nil:
				why = err.Error()
			}
			if why != "" {
				notes = append(notes, fmt.Sprintf("nft table %s %s chain %s: rule with handle %d gives no marks here: %s", r.Family, r.Table, r.Chain, r.Handle, why))
				continue
			}
			for _, handle := range ends {
				notes = append(notes, fmt.Sprintf("nft table %s %s chain %s: rule with handle %d keeps no packet from the rules behind it here", r.Family, r.Table, r.Chain, handle))
			}
			ends = nil
			out.rules = append(out.rules, parsed)
		}
		chains = append(chains, out)
	}
	return chains, notes, nil
}

// nftMarkingChains returns the chains, by family, table and name, in which marks are set, also
// by way of more chains.
func nftMarkingChains(all *ruleset) map[string]bool {
	marking := make(map[string]bool)
	for grown := true; grown; {
		grown = false
		for _, x := range all.Nftables {
			if x.Rule == nil {
				continue
			}
			table := x.Rule.Family + " " + x.Rule.Table + " "
			if setsMark(x.Rule) || marking[table+jumpOf(x.Rule)] {
				grown = grown || !marking[table+x.Rule.Chain]
				marking[table+x.Rule.Chain] = true
			}
		}
	}
	return marking
}

// setsMark reports whether a rule sets the mark of packets.
func setsMark(r *nftRule) bool {
	return slices.ContainsFunc(r.Expr, func(e map[string]json.RawMessage) bool {
		_, ok := markValue(e)
		return ok
	})
}

// markValue returns what an expression sets the mark to.
func markValue(e map[string]json.RawMessage) (value json.RawMessage, ok bool) {
	var m struct {
		Key struct {
			Meta struct{ Key string }
		}
		Value json.RawMessage
	}
	if b, has := e["mangle"]; !has || json.Unmarshal(b, &m) != nil || m.Key.Meta.Key != "mark" {
		return nil, false
	}
	return m.Value, true
}

// jumpOf returns the chain that a rule jumps or goes to, "" if none.
func jumpOf(r *nftRule) string {
	for _, e := range r.Expr {
		for _, word := range []string{"jump", "goto"} {
			var to struct{ Target string }
			if b, ok := e[word]; ok && json.Unmarshal(b, &to) == nil {
				return to.Target
			}
		}
	}
	return ""
}

// parseRule reads a rule. marks is false if it sets no mark; the error says what of it is not
// understood.
func parseRule(r *nftRule, sets map[string][]json.RawMessage) (out rule, marks bool, err error) {
	fits, families := config.MarkRule{}, map[string][]bool{"ip": {false}, "ip6": {true}, "inet": {false, true}}[r.Family]
	var protos []config.Protocol
	fault := func(format string, args ...any) { err = cmp.Or(err, fmt.Errorf(format, args...)) }
	for _, e := range r.Expr {
		if value, ok := markValue(e); ok {
			marks = true
			if bad := json.Unmarshal(value, &fits.Mark); bad != nil {
				fault("the mark is no plain number")
			}
			continue
		}
		for word, b := range e {
			switch word {
			case "match":
				m, bad := parseMatch(b, func(name string) []json.RawMessage { return sets[r.Family+" "+r.Table+" "+name] })
				if bad != nil {
					fault("%w", bad)
					continue
				}
				if !m.narrow(&fits, &protos, &families) {
					fault("it compares the same twice")
				}
			case "accept", "return", "drop":
				out.final = true
			case "counter", "comment", "log":
			default:
				fault("%s is not known here", word)
			}
		}
	}
	if len(protos) == 0 {
		protos = []config.Protocol{0}
	}
	for _, v6 := range families {
		for _, p := range protos {
			one := fits
			one.Protocol = p
			if ofFamily(&one, v6) {
				out.fits = append(out.fits, one)
			}
		}
	}
	if err == nil && len(out.fits) == 0 {
		fault("no packet fits")
	}
	return out, marks, err
}

// A match is one comparison of a rule.
type match struct {
	sources, destinations []netip.Prefix
	ports                 []config.PortRange
	protos                []config.Protocol
	families              []bool
	device                string
}

// narrow adds a comparison to what a rule asks for. It is false if there is one of its kind.
func (m *match) narrow(fits *config.MarkRule, protos *[]config.Protocol, families *[]bool) bool {
	if len(m.sources)*len(fits.Sources)+len(m.destinations)*len(fits.Destinations)+len(m.ports)*len(fits.Ports) > 0 {
		return false
	}
	fits.Sources = append(fits.Sources, m.sources...)
	fits.Destinations = append(fits.Destinations, m.destinations...)
	fits.Ports = append(fits.Ports, m.ports...)
	if m.device != "" {
		fits.Interface = m.device
	}
	if m.protos != nil {
		*protos = m.protos
	}
	if m.families != nil {
		*families = slices.DeleteFunc(slices.Clone(*families), func(v6 bool) bool { return !slices.Contains(m.families, v6) })
	}
	return true
}

// parseMatch reads a comparison. set returns the elements of a named set.
func parseMatch(b json.RawMessage, set func(name string) []json.RawMessage) (m match, err error) {
	var x struct {
		Op          string
		Left, Right json.RawMessage
	}
	var left struct {
		Payload struct{ Protocol, Field string }
		Meta    struct{ Key string }
	}
	if json.Unmarshal(b, &x) != nil || json.Unmarshal(x.Left, &left) != nil {
		return m, fmt.Errorf("%s is not known here", b)
	}
	if x.Op != "==" && x.Op != "in" {
		return m, fmt.Errorf("comparison %s is not known here", x.Op)
	}
	values := []json.RawMessage{x.Right}
	var name string
	var list struct{ Set []json.RawMessage }
	if json.Unmarshal(x.Right, &name) == nil && len(name) > 0 && name[0] == '@' {
		values = set(name)
	} else if json.Unmarshal(x.Right, &list) == nil && list.Set != nil {
		values = list.Set
	}
	payload, meta := left.Payload, left.Meta.Key
	for _, v := range values {
		switch {
		case (payload.Protocol == "ip" || payload.Protocol == "ip6") && payload.Field == "saddr":
			err = appendPrefix(&m.sources, v)
		case (payload.Protocol == "ip" || payload.Protocol == "ip6") && payload.Field == "daddr":
			err = appendPrefix(&m.destinations, v)
		case payload.Field == "dport" && slices.Contains([]string{"tcp", "udp", "sctp", "th"}, payload.Protocol):
			err = appendPorts(&m.ports, v)
			if p, ok := protocols()[payload.Protocol]; ok {
				m.protos = []config.Protocol{p}
			}
		case meta == "l4proto", payload.Field == "protocol" && payload.Protocol == "ip", payload.Field == "nexthdr" && payload.Protocol == "ip6":
			p, ok := protocols()[plain(v)]
			if !ok {
				return m, fmt.Errorf("protocol %s has no services", plain(v))
			}
			m.protos = append(m.protos, p)
		case meta == "iifname" || meta == "iif":
			if m.device = plain(v); len(values) > 1 || m.device == "" || m.device[len(m.device)-1] == '*' {
				return m, errors.New("it is about more than one interface")
			}
		case meta == "nfproto":
			m.families = append(m.families, plain(v) == "ipv6")
		default:
			return m, fmt.Errorf("a comparison of %s is not known here", x.Left)
		}
		if err != nil {
			return m, err
		}
	}
	if len(values) == 0 {
		err = errors.New("a set is empty")
	}
	return m, err
}

// plain returns a word or number as text, "" for anything else.
func plain(v json.RawMessage) string {
	var s string
	var n json.Number
	if json.Unmarshal(v, &s) == nil {
		return s
	}
	if json.Unmarshal(v, &n) == nil {
		return n.String()
	}
	return ""
}

func appendPrefix(list *[]netip.Prefix, v json.RawMessage) error {
	var x struct {
		Prefix *struct {
			Addr string
			Len  int
		}
	}
	if json.Unmarshal(v, &x) == nil && x.Prefix != nil {
		a, bad := netip.ParseAddr(x.Prefix.Addr)
		if bad == nil && x.Prefix.Len >= 0 && x.Prefix.Len <= a.BitLen() {
			*list = append(*list, netip.PrefixFrom(a, x.Prefix.Len).Masked())
			return nil
		}
	}
	a, bad := netip.ParseAddr(plain(v))
	if bad != nil {
		return fmt.Errorf("%s is no address or prefix", v)
	}
	*list = append(*list, netip.PrefixFrom(a, a.BitLen()))
	return nil
}

func appendPorts(list *[]config.PortRange, v json.RawMessage) error {
	var x struct{ Range []uint16 }
	if json.Unmarshal(v, &x) == nil && len(x.Range) == 2 {
		*list = append(*list, config.PortRange{First: x.Range[0], Last: x.Range[1]})
		return nil
	}
	ports, bad := parsePorts(plain(v), "-")
	if bad != nil {
		return fmt.Errorf("%s is no port", v)
	}
	*list = append(*list, ports...)
	return nil
}
