//go:build netns

package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"uvs/config"
)

// An author makes up configurations from the keyword table.
type author struct {
	// words holds the keywords of each context, openers the keywords that open it.
	words   map[string][]config.Keyword
	openers map[string][]config.Keyword
	// contexts are those that hold keywords, in the order of the table.
	contexts []string
}

func newAuthor() *author {
	a := &author{words: make(map[string][]config.Keyword), openers: make(map[string][]config.Keyword)}
	for _, k := range config.Inventory() {
		if a.words[k.Context] == nil && k.Context != "" {
			a.contexts = append(a.contexts, k.Context)
		}
		a.words[k.Context] = append(a.words[k.Context], k)
		if k.Block != "" && k.Block != config.Lines {
			a.openers[k.Block] = append(a.openers[k.Block], k)
		}
	}
	return a
}

// definitions are what names in generated statements mean. keepalived says nothing of them.
const definitions = `global_defs {
    enable_script_security
    script_user root
}
vrrp_script s1 {
    script "/bin/true"
}
vrrp_track_process p1 {
    process sshd
}
track_file f1 {
    file "/run/f1"
}
bfd_instance b1 {
    neighbor_ip 192.168.1.254
    source_ip 192.168.1.11
}
vrrp_instance V1 {
    interface eth0
    virtual_router_id 201
    virtual_ipaddress {
        192.168.1.201/24
    }
}
vrrp_instance V2 {
    interface eth1
    virtual_router_id 202
    virtual_ipaddress {
        10.0.30.202/16
    }
}
`

// needs are the lines without which a block is at fault.
func needs(context string) string {
	return map[string]string{
		"vrrp_instance":      "interface eth0\nvirtual_router_id 10\nvirtual_ipaddress {\n192.168.1.10/24\n}",
		"authentication":     "auth_type PASS\nauth_pass secret",
		"vrrp_sync_group":    "group {\nV1\nV2\n}",
		"vrrp_script":        "script \"/bin/true\"",
		"track_file":         "file \"/run/f2\"",
		"vrrp_track_process": "process sshd",
		"track_group":        "group {\nV1\n}",
		"bfd_instance":       "neighbor_ip 192.168.1.253\nsource_ip 192.168.1.11",
		"garp_group":         "garp_interval 1\ninterface eth0",
		"virtual_server":     "lb_algo rr\nlb_kind NAT\nprotocol TCP\nreal_server 10.0.30.20 80 {\n}",
		"HTTP_GET":           "url {\npath /\n}",
		"SSL_GET":            "url {\npath /\n}",
		"url":                "path /",
		"MISC_CHECK":         "misc_path \"/bin/true\"",
		"BFD_CHECK":          "name b1",
		"FILE_CHECK":         "track_file f1",
	}[context]
}

// opening is the line that opens a block.
func opening(context string) string {
	switch context {
	case "virtual_server":
		return "virtual_server 192.168.1.10 80 {"
	case "real_server":
		return "real_server 10.0.30.21 80 {"
	case "vrrp_instance", "vrrp_sync_group", "vrrp_script", "track_file", "vrrp_track_process", "track_group", "bfd_instance":
		return context + " new {"
	}
	return context + " {"
}

// wrap puts lines into their context and that into the contexts around it.
func (a *author) wrap(r *rand.Rand, context, text string) string {
	for context != "" {
		text = strings.Join(slices.DeleteFunc([]string{opening(context), needs(context), text, "}"}, func(s string) bool { return s == "" }), "\n")
		by := a.openers[context]
		context = by[r.IntN(len(by))].Context
	}
	return definitions + indent(text) + "\n"
}

// indent sets text the way that people do.
func indent(text string) string {
	var out []string
	depth := 0
	for l := range strings.SplitSeq(text, "\n") {
		l = strings.TrimSpace(l)
		if strings.HasPrefix(l, "}") && depth > 0 {
			depth--
		}
		out = append(out, strings.Repeat("    ", depth)+l)
		depth += max(strings.Count(l, "{"), 0)
	}
	return strings.Join(out, "\n")
}

// write makes up a configuration: some statements in one context, of which at most one has an odd value.
func (a *author) write(r *rand.Rand) (text, what string) {
	context := a.contexts[r.IntN(len(a.contexts))]
	var statements []string
	odd := r.IntN(8) - 3
	for i := range 1 + r.IntN(4) {
		k := a.words[context][r.IntN(len(a.words[context]))]
		statements = append(statements, a.statement(r, &k, i == odd))
	}
	return a.wrap(r, context, strings.Join(statements, "\n")), context + ": " + strings.ReplaceAll(strings.Join(statements, "; "), "\n", " ")
}

// statement makes up a keyword with what follows it.
func (a *author) statement(r *rand.Rand, k *config.Keyword, odd bool) string {
	words := []string{k.Name}
	oddAt := -1
	if odd && len(k.Args) > 0 {
		oddAt = r.IntN(len(k.Args))
	}
	for i := range k.Args {
		if k.Args[i].Optional && r.IntN(2) == 0 && i != oddAt {
			break
		}
		words = append(words, value(r, k, i, i == oddAt))
	}
	line := strings.Join(words, " ")
	switch k.Block {
	case "":
		return line
	case config.Lines:
		return line + " {\n" + dataLine(r, k, odd) + "\n}"
	}
	if need := needs(k.Block); need != "" {
		return line + " {\n" + need + "\n}"
	}
	return line + " {\n}"
}

// pick returns one of words separated by bars.
func pick(r *rand.Rand, words string) string {
	all := strings.Split(words, "|")
	return all[r.IntN(len(all))]
}

// oddWords are what may stand anywhere by mistake.
const oddWords = "-1|0|1|00|1.5|1e3|0x10|12x|+3|007|256|65536|4294967295|4294967296|99999999999999999999|on|ON|yes|Off|none|" +
	"192.168.1.300|192.168.1.9/33|192.168.1.9|2001:db8::1|fe80::1|2001:db8::g|eth0|eth9|\"two words\"|\"\"|'x|x\"y|/bin/true|/no/such|rr|RR|tcp|extra words|-|.5|5.|1.0000001|1,5|x"

// value makes up the word at i after k.
func value(r *rand.Rand, k *config.Keyword, i int, odd bool) string {
	a := k.Args[i]
	switch a.Kind {
	case "number", "signed":
		if odd && r.IntN(2) == 0 {
			return pick(r, fmt.Sprintf("%d|%d|%d", a.Min-1, a.Max+1, a.Max+r.Int64N(1000)+2))
		} else if !odd {
			return strconv.FormatInt([]int64{a.Min, a.Max, a.Min + 1, min(a.Max, a.Min+r.Int64N(100)), a.Min + (a.Max-a.Min)/2}[r.IntN(5)], 10)
		}
	case "seconds":
		lo, hi := float64(a.Min)/1e9, min(float64(a.Max)/1e9, 4000)
		if odd && r.IntN(2) == 0 {
			return pick(r, fmt.Sprintf("-1|%f|%f|0|4294.967295|4294.967296|4294967.296|%f", hi+1, hi*2, lo/2))
		} else if !odd {
			return []string{strconv.FormatFloat(max(lo, 0.000001), 'f', -1, 64), fmt.Sprintf("%.0f", max(1, lo)), fmt.Sprintf("%.2f", max(lo, 1.25)), fmt.Sprintf("%.0f", min(hi, 60))}[r.IntN(4)]
		}
	case "boolean":
		if !odd {
			return pick(r, "on|off|true|false|yes|no")
		}
	case "choice":
		if w := a.Words[r.IntN(len(a.Words))]; !odd {
			return w
		} else if r.IntN(2) == 0 {
			return pick(r, strings.ToLower(w)+"|"+strings.ToUpper(w)+"|"+w+"x|"+w[:len(w)-1])
		}
	case "address":
		if !odd {
			return pick(r, "224.0.0.19|ff02::19|192.168.1.9|2001:db8:1::9")
		}
	case "interface":
		if !odd {
			return pick(r, "eth0|eth1|bond0.2")
		}
	default:
		if !odd {
			return fitting(r, k, i)
		}
	}
	return pick(r, oddWords)
}

// fitting makes up a text that k may take, or nearly.
func fitting(r *rand.Rand, k *config.Keyword, i int) string {
	name := k.Name
	switch {
	case strings.HasPrefix(name, "notify_fifo"), strings.Contains(name, "_notify_fifo"):
		if !strings.HasSuffix(name, "_script") {
			return pick(r, "/run/fifo1|/run/fifo2|/run/fifo1 root|/run/fifo2 root root")
		}
		fallthrough
	case strings.HasPrefix(name, "notify"), strings.HasPrefix(name, "quorum_"), strings.HasSuffix(name, "_script"), name == "script", name == "misc_path":
		return pick(r, `/bin/true|"/bin/true with words"|"/bin/true 'in quotes'"|"/bin/true x" root|"/bin/true" root root`)
	case k.Context == "" && i > 0:
		return "81"
	}
	by := map[string]string{
		"interface": "eth0|eth1|eth2", "lvs_sync_daemon_interface": "eth1", "bind_if": "eth0|eth1", "vrf": "vrf1", "auth_pass": "secret|12345678|123456789",
		"unicast_src_ip": "192.168.1.11|10.0.30.11", "mcast_src_ip": "192.168.1.11|2001:db8:1::11", "mcast_dst_ip": "224.0.0.20|ff02::20|192.168.1.1",
		"connect_ip": "10.0.30.22|192.168.1.30|2001:db8:2::9", "bindto": "10.0.30.11|192.168.1.11|2001:db8:2::11",
		"neighbor_ip": "192.168.1.252|10.0.30.252|2001:db8:1::2", "neighbour_ip": "192.168.1.251", "source_ip": "192.168.1.11|10.0.30.11",
		"min_rx": "10|50|0.5|1000", "min_tx": "10|50|0.5|1000|11000", "idle_tx": "1000|2000|999|12000",
		"lb_kind": "NAT|DR|TUN|TUN type ipip|TUN type gue port 6080|TUN type gre csum|DR type gre", "lvs_method": "NAT|DR|TUN|TUN type ipip csum|TUN type gue port 6080 remcsum|TUN type gue",
		"sorry_server_lvs_method": "NAT|DR|TUN", "persistence_granularity": "255.255.255.0|255.255.0.255|24|64|255.255.255.255", "persistence_engine": "sip|pop",
		"sorry_server": "10.0.30.99|192.168.1.99|2001:db8:2::99|127.0.0.1", "real_server": "10.0.30.23|10.0.30.24|2001:db8:2::23", "virtual_server": "192.168.1.77|2001:db8:1::77|fwmark|group",
		"quorum": "1|2|0|4294967295", "weight": "1|-20|20|254|-254|10 reverse|10 noreverse|0", "digest": "9b3a0c85a887a256d6939da88aabd8cd|9b3a0c85",
		"path": `/|/index.html|"/a b?c=d"|no-slash`, "status_code": "200|200-299|200 301 404|200-|99|600|299-200", "regex": `"a+b"|"(x|y"|x`,
		"regex_options": "caseless|multiline dotall|nocase", "regex_min_offset": "0|10|x", "regex_max_offset": "100|1|x", "regex_stack": "100 200|200 100|100",
		"require_reply": "4f 4b xx|4f4b|zz", "payload": "3c 31|3c31|3c 3|zz", "type": "A|SOA", "name": "b1|example.com|b2", "track_file": "f1|f2|f9", "user": "root|nobody|no-such-user",
		"script_user": "root|nobody|no-such-user", "smtp_server": "10.0.30.5|localhost|2001:db8::25", "notification_email_from": "a@example.com|\"LB <a@example.com>\"",
		"lvs_timeouts": "tcp 900|tcp 900 tcpfin 120 udp 300|tcp 0|udp|tcp x|icmp 3", "lvs_sync_daemon": "eth1|eth1 V1|eth1 inst V1 id 33 port 8848|eth9|eth1 id 256|eth1 group 224.0.0.82 ttl 3 maxlen 1400",
		"use_vmac": "vm0|vm1 eth1|00:00:5e:00:01:99|netlink_notify_msg", "use_ipvlan": "iv0|192.168.1.19", "garp_extra_if": "all|all 10|vmac 10|x", "vrrp_garp_extra_if": "all|vmac 10|x",
		"vmac_prefix": "vv|averyveryverylongprefix", "vmac_addr_prefix": "va", "init_file": "1|1 overwrite|overwrite|x", "process": "sshd|nginx -g x", "file": "/run/f3|\"/run/f 4\"",
		"vrrp_version": "2|3", "umask": "022|IRUSR|0|9", "include_check": "readable|match all|x", "key": "\"0123456789abcdef0123456789abcdef\"", "virtualhost": "www.example.com|\"[2001:db8::1]\"",
		"router_id": "r1|\"r 1\"", "net_namespace": "ns1", "instance": "i1", "vrrp_rt_priority": "50", "reload_check_config": "/run/rl.log",
	}
	if words, ok := by[name]; ok {
		if i == 0 || k.Args[i].Kind == "rest" && len(k.Args) == 1 {
			return pick(r, words)
		}
		return pick(r, "80|8080|root|reverse")
	}
	return pick(r, "x1|10|/run/x|on|eth0|1 2 3")
}

// dataLine makes up a line of a block of data.
func dataLine(r *rand.Rand, k *config.Keyword, odd bool) string {
	addresses := "192.168.1.33/24|192.168.1.34|10.0.30.34/16 dev eth1|192.168.1.35/24 label eth0:1|192.168.1.36/24 brd + dev eth0|192.168.1.37/24 scope link|2001:db8:1::37/64|192.168.1.38 peer 192.168.1.39|192.168.1.40/24 dev eth0 no_track|2001:db8:1::38/64 -nodad preferred_lft 0"
	oddAddresses := "192.168.1.33/33|192.168.1.333|192.168.1.34 dev eth9|192.168.1.34 dev|192.168.1.34 label|192.168.1.34 scope nowhere9|192.168.1.34 foo|2001:db8::/129|2001:db8:1::9|fe80::9/64|192.168.1.10/24|name|192.168.1.34 brd 2001:db8::1|192.168.1.34 192.168.1.35"
	by := map[string][2]string{
		"virtual_ipaddress": {addresses, oddAddresses}, "virtual_ipaddress_excluded": {addresses, oddAddresses}, "static_ipaddress": {addresses, oddAddresses},
		"unicast_peer": {"192.168.1.12|192.168.1.13 min_ttl 10 max_ttl 20|192.168.1.14 min_ttl 255", "2001:db8:1::12|192.168.1.11|192.168.1.12 min_ttl 20 max_ttl 10|192.168.1.12 min_ttl 256|192.168.1.12 ttl 3|192.168.1.x|224.0.0.1"},
		"virtual_routes": {"198.51.100.0/24 via 192.168.1.254 dev eth0|default via 192.168.1.254 dev eth0 metric 5|blackhole 198.51.100.0/24 no_track|src 192.168.1.10 to 198.51.100.0/24 via 192.168.1.254 dev eth0 table 7|198.51.100.0/24 dev eth0 scope link mtu 1400|198.51.100.0/24 nexthop via 192.168.1.254 dev eth0 weight 2 nexthop via 192.168.1.253 dev eth0 weight 1",
			"198.51.100.0/24|198.51.100.0/33 dev eth0|198.51.100.0/24 via 2001:db8::1 dev eth0|198.51.100.0/24 via|198.51.100.0/24 dev eth9|198.51.100.0/24 dev eth0 mtu x|198.51.100.0/24 dev eth0 table 4294967296|198.51.100.0/24 dev eth0 metric -1|unknown 198.51.100.0/24|198.51.100.0/24 dev eth0 foo 3|198.51.100.0/24 gw 192.168.1.254 dev eth0"},
		"virtual_rules": {"from 192.168.1.10/32 table 200 priority 2000|to 198.51.100.0/24 lookup 100 preference 1000|iif eth0 table 100 priority 3|fwmark 3 table 5 priority 4|from all table 5 priority 9|from 10.0.0.0/8 tos 0x10 table 100 priority 8",
			"from 192.168.1.10/32 table 200|from 192.168.1.300 table 200 priority 3|from 192.168.1.10 priority 3|table 200 priority 3|from 192.168.1.10 table x priority 3|from 192.168.1.10 table 200 priority -1|from 192.168.1.10 foo 3 table 200|from 192.168.1.10 to 2001:db8::1 table 100 priority 4|iif eth9 table 100 priority 3|from 192.168.1.10 goto 5 priority 6|from 192.168.1.10 table 0 priority 9"},
		"track_interface":    {"eth0|eth1|eth1 weight 10|eth2 weight -253 reverse|eth0 eth1", "eth9|eth1 weight 254|eth1 weight x|eth1 weight|eth1 foo|eth1 weight -254|eth1 weight 10 foo"},
		"track_script":       {"s1|s1 weight 10|s1 weight -10 reverse|s1 weight 5 noreverse", "s9|s1 weight 254|s1 weight x|s1 weight|s1 foo 3|S1|s1 weight 10 foo"},
		"track_file":         {"f1|f1 weight 10|f1 weight -254 reverse", "f9|f1 weight 255|f1 weight x|f1 weight|f1 foo"},
		"track_process":      {"p1|p1 weight 10|p1 weight 254", "p9|p1 weight 255|p1 weight x|p1 weight|p1 foo"},
		"track_bfd":          {"b1|b1 weight 10|b1 weight -253 reverse", "b9|b1 weight 254|b1 weight x|b1 weight|b1 foo"},
		"group":              {"V1|V1\nV2|V1 V2", "V9|V1 V9|V1 V1|v1"},
		"notification_email": {"a@example.com|a@example.com b@example.com", "x|\"\"|\"a b\""},
		"virtual_server_group": {"192.168.1.90 80|192.168.1.91-95 80|192.168.1.96/30 80|fwmark 7|2001:db8:1::90-9f 80|192.168.1.90-192.168.1.92 80",
			"192.168.1.91-90 80|192.168.1.97/30 80|192.168.1.90 0|192.168.1.90 65536|192.168.1.300 80|fwmark x|fwmark|fwmark 0|fwmark 4294967296|192.168.1.90-300 80|192.168.1.90 80 foo|192.168.1.90 80x|192.168.1.90|fwmark 7 inet6|fwmark 7 foo"},
		"interfaces": {"eth0|eth1 eth2", "eth9"}, "linkbeat_interfaces": {"eth0|eth1 MII", "eth9|eth0 FOO"}, "interface_up_down_delays": {"eth0 1 2|eth1 0.5|eth2 3", "eth9 1|eth0 x|eth0"},
	}
	by["static_routes"], by["static_rules"] = by["virtual_routes"], by["virtual_rules"]
	l := by[k.Name]
	if odd && r.IntN(4) > 0 {
		return pick(r, l[1])
	} else if odd {
		return pick(r, l[0]) + " " + pick(r, oddWords)
	}
	return pick(r, l[0])
}

// TestGeneratedContexts holds what makes generated statements decide: without them keepalived finds nothing to say.
func TestGeneratedContexts(t *testing.T) {
	h := languageHost(t)
	a := newAuthor()
	r := rand.New(rand.NewPCG(1, 1))
	for _, c := range a.contexts {
		if slices.Contains([]string{"auth_hmac", "garp_group", "host"}, c) {
			continue // words of another version, and deprecated ones
		}
		file := write(t, t.TempDir()+"/x.conf", a.wrap(r, c, ""))
		if status, said, ok := keepalivedVerdict(t, h, "-t", "-f", file); status != 0 || !ok {
			t.Errorf("%s: exit status %d: %s", c, status, said)
		}
	}
}
