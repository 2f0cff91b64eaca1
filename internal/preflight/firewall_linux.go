package preflight

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/google/nftables"
)

// firewallRules lists the rules of nftables (iptables-nft's among them) and of legacy
// iptables that mention a virtual address. What cannot be read is left out.
func firewallRules(ctx context.Context, vips []netip.Addr) []FirewallRule {
	rules := nftRules(vips)
	for _, family := range []struct{ program, tables string }{
		{"iptables", "/proc/net/ip_tables_names"},
		{"ip6tables", "/proc/net/ip6_tables_names"},
	} {
		// Without legacy tables the file is empty or missing, and asking would make them.
		if names, err := os.ReadFile(family.tables); err != nil || len(names) == 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		saved, err := exec.CommandContext(ctx, family.program+"-legacy-save").Output()
		cancel()
		if err == nil {
			rules = append(rules, savedRules(family.program, string(saved), vips)...)
		}
	}
	return rules
}

func nftRules(vips []netip.Addr) []FirewallRule {
	conn, err := nftables.New()
	if err != nil {
		return nil
	}
	chains, err := conn.ListChains()
	if err != nil {
		return nil
	}
	var found []FirewallRule
	for _, chain := range chains {
		if strings.HasPrefix(chain.Table.Name, ownPrefix) || strings.HasPrefix(chain.Name, ownPrefix) {
			continue
		}
		rules, err := conn.GetRules(chain.Table, chain)
		if err != nil {
			continue // it is gone
		}
		elements := func(set string) []span {
			s, err := conn.GetSetByName(chain.Table, set)
			if err != nil {
				return nil
			}
			list, err := conn.GetSetElements(s)
			if err != nil {
				return nil
			}
			return spansOf(list, s.Interval && !s.Concatenation)
		}
		for _, r := range rules {
			for _, vip := range mentions(r.Exprs, vips, elements) {
				found = append(found, FirewallRule{vip, fmt.Sprintf("nft table %s %s chain %s, handle %d",
					familyName(chain.Table.Family), chain.Table.Name, chain.Name, r.Handle)})
			}
		}
	}
	return found
}

func familyName(f nftables.TableFamily) string {
	switch f {
	case nftables.TableFamilyIPv4:
		return "ip"
	case nftables.TableFamilyIPv6:
		return "ip6"
	case nftables.TableFamilyINet:
		return "inet"
	case nftables.TableFamilyARP:
		return "arp"
	case nftables.TableFamilyBridge:
		return "bridge"
	case nftables.TableFamilyNetdev:
		return "netdev"
	}
	return fmt.Sprint(byte(f))
}
