package hostmarks

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"uvs/config"
)

// parseSaved reads the table mangle as iptables-save prints it.
func parseSaved(program, saved string, v6 bool) (chains []chain, notes []string) {
	marking := markingChains(saved)
	for i, name := range []string{"PREROUTING", "INPUT"} {
		c := chain{hook: hook(i), priority: manglePriority}
		var ends []string // rules that keep packets from those behind
		for line := range strings.Lines(saved) {
			words, ok := splitSaved(strings.TrimSpace(line))
			if !ok || len(words) < 2 || words[0] != "-A" || words[1] != name {
				continue
			}
			why := ""
			r, target, err := parseWords(words[2:], v6)
			switch {
			case target == "ACCEPT" || target == "RETURN" || target == "DROP":
				ends = append(ends, strings.TrimSpace(line))
				continue
			case target == "CONNMARK" && slices.Contains(words, "--restore-mark"), target == "TPROXY":
				why = "marks of connections and of proxies are not known here"
			case marking[target]:
				why = "chains that others jump to are not followed"
			case target != "MARK":
				continue
			case err != nil:
				why = err.Error()
			}
			if why != "" {
				notes = append(notes, fmt.Sprintf("%s: rule %q gives no marks here: %s", program, strings.TrimSpace(line), why))
				continue
			}
			if len(r.fits) == 0 {
				continue
			}
			for _, e := range ends {
				notes = append(notes, fmt.Sprintf("%s: rule %q keeps no packet from the rules behind it here", program, e))
			}
			ends = nil
			c.rules = append(c.rules, r)
		}
		chains = append(chains, c)
	}
	return chains, notes
}

// markingChains returns the chains of others in which marks are set, also by way of more chains.
func markingChains(saved string) map[string]bool {
	marking := make(map[string]bool)
	for range strings.Count(saved, "\n:") + 1 { // each round finds who jumps to those of the last
		for line := range strings.Lines(saved) {
			words, _ := splitSaved(strings.TrimSpace(line))
			i := slices.IndexFunc(words, func(w string) bool { return w == "-j" || w == "-g" })
			if len(words) < 2 || words[0] != "-A" || i < 0 || i+1 >= len(words) {
				continue
			}
			if target := words[i+1]; target == "MARK" || target == "CONNMARK" || marking[target] {
				marking[words[1]] = true
			}
		}
	}
	return marking
}

// parseWords reads a rule behind "-A CHAIN". The error says what of it is not understood; the
// target is there all the same.
func parseWords(words []string, v6 bool) (r rule, target string, err error) {
	fits, other := config.MarkRule{}, false
	fault := func(format string, args ...any) { err = cmp.Or(err, fmt.Errorf(format, args...)) }
	for len(words) > 0 {
		w, arg := words[0], ""
		if len(words) > 1 {
			arg = words[1]
		}
		n := 2
		switch w {
		case "!":
			fault("it says what must not be")
			n = 1
		case "-m":
			if !slices.Contains([]string{"tcp", "udp", "sctp", "multiport", "comment"}, arg) {
				fault("match %s is not known here", arg)
			}
		case "--comment":
		case "-s", "-d":
			p, bad := netip.ParsePrefix(arg)
			switch {
			case bad != nil:
				fault("%s %s is no prefix", w, arg)
			case w == "-s":
				fits.Sources = append(fits.Sources, p)
			default:
				fits.Destinations = append(fits.Destinations, p)
			}
		case "-i":
			if strings.HasSuffix(arg, "+") {
				fault("-i %s is more than one interface", arg)
			}
			fits.Interface = arg
		case "-p":
			p, ok := protocols()[arg]
			fits.Protocol, other = p, !ok
		case "--dport", "--dports":
			ports, bad := parsePorts(arg, ":")
			if bad != nil {
				fault("%s %s: %w", w, arg, bad)
			}
			fits.Ports = append(fits.Ports, ports...)
		case "-j", "-g":
			target = arg
		case "--set-xmark", "--set-mark":
			value, mask, masked := strings.Cut(arg, "/")
			mark, bad := strconv.ParseUint(value, 0, 32)
			if bad != nil {
				fault("mark %s is no number", arg)
			}
			if m, _ := strconv.ParseUint(mask, 0, 32); masked && m != 0xffffffff {
				fault("it sets some bits of the mark only")
			}
			fits.Mark = uint32(mark)
		default:
			if target == "MARK" || target == "" {
				fault("%s is not known here", w)
			}
			n = 1
		}
		words = words[min(n, len(words)):]
	}
	if other { // no service has such packets
		return rule{}, target, nil
	}
	if err == nil && !ofFamily(&fits, v6) {
		fault("its addresses are of the other family")
	}
	return rule{fits: []config.MarkRule{fits}}, target, err
}

func protocols() map[string]config.Protocol {
	return map[string]config.Protocol{
		"tcp": config.TCP, "udp": config.UDP, "sctp": config.SCTP, "6": config.TCP, "17": config.UDP, "132": config.SCTP,
	}
}

// parsePorts reads "80,443,8000:8100".
func parsePorts(text, dash string) (list []config.PortRange, err error) {
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, dash)
		if !isRange {
			to = from
		}
		first, err1 := strconv.ParseUint(from, 10, 16)
		last, err2 := strconv.ParseUint(to, 10, 16)
		if err1 != nil || err2 != nil || last < first {
			return nil, errors.New("not a list of ports")
		}
		list = append(list, config.PortRange{First: uint16(first), Last: uint16(last)})
	}
	return list, nil
}

// splitSaved splits a line of iptables-save at blanks, but for those in quotes. It is false where
// a quote stays open.
func splitSaved(line string) (words []string, ok bool) {
	var b strings.Builder
	quoted, inWord := false, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && quoted && i+1 < len(line):
			i++
			b.WriteByte(line[i])
		case c == '"':
			quoted, inWord = !quoted, true
		case c == ' ' && !quoted:
			if inWord {
				words = append(words, b.String())
			}
			b.Reset()
			inWord = false
		default:
			b.WriteByte(c)
			inWord = true
		}
	}
	if inWord {
		words = append(words, b.String())
	}
	return words, !quoted
}
