package demo

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"

	"uvs/internal/netlab"
)

// Available reports why the demo cannot run here, or nil: it builds a host and removes it.
func Available() error {
	site, err := netlab.New("demo")
	if err != nil {
		return err
	}
	_, err = site.AddHost("probe")
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("network namespaces need CAP_NET_ADMIN: %w", err)
	}
	return errors.Join(err, site.Close())
}

const (
	serverCount = 3
	servicePort = 80
)

// A plan is a mode with everything that has an address in it: what is printed, and what the
// director is configured with.
type plan struct {
	mode       Mode
	vip4, vip6 netip.Addr
	client     netip.Addr   // IPv4
	inside     netip.Addr   // the director's address towards the servers, IPv4
	second     netip.Addr   // that of the other director of two
	servers4   []netip.Addr // of server1, server2 …
	servers6   []netip.Addr
	port       uint16 // of the real servers: NAT can change it, DR cannot
}

// build makes the site of a mode.
func (m Mode) build() (*netlab.Topology, error) {
	p := netlab.Plan{Name: "demo", Servers: serverCount, NoVIP: true} // the director adds the VIP
	switch m {
	case NAT:
		return netlab.TwoArm(p)
	case Pair:
		p.Directors = pairSize
	}
	return netlab.OneArm(p)
}

// planOf reads the addresses of a site.
func planOf(m Mode, top *netlab.Topology) plan {
	p := plan{mode: m, vip4: top.VIP4, vip6: top.VIP6, client: top.Clients[0].Addr4("eth0"), port: servicePort}
	p.inside = top.Directors[0].Addr4("eth0")
	if m == NAT {
		p.inside = top.Directors[0].Addr4("eth1")
		p.port = 8080
	}
	if m == Pair {
		p.second = top.Directors[1].Addr4("eth0")
	}
	for _, h := range top.Servers {
		p.servers4 = append(p.servers4, h.Addr4("eth0"))
		p.servers6 = append(p.servers6, h.Addr6("eth0"))
	}
	return p
}

// serverName returns the name of the server with an index.
func serverName(i int) string { return fmt.Sprintf("server%d", i+1) }

// order returns the names in the order in which the kernel's rr goes round: IPVS adds each
// server at the head of its list, and rr begins there.
func (p plan) order() []string {
	var names []string
	for i := range p.servers4 {
		names = append(names, serverName(len(p.servers4)-1-i))
	}
	return names
}

// rows returns how ipvsadm shows the real servers of both services: by server.
func (p plan) rows() [][]string {
	var rows [][]string
	for i := range p.servers4 {
		rows = append(rows, []string{
			"  -> " + netip.AddrPortFrom(p.servers4[i], p.port).String() + " ",
			"  -> " + netip.AddrPortFrom(p.servers6[i], p.port).String() + " ",
		})
	}
	return rows
}

// config returns the keepalived.conf of a director.
func (p plan) config(director int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `vrrp_instance site {
    interface eth0
    virtual_router_id 80
%s    priority %d
    virtual_ipaddress {
        %s/24
    }
    virtual_ipaddress_excluded {
        %s/64
    }
}
`, p.adverts(), p.priority(director), p.vip4, p.vip6)
	p.virtualServer(&b, p.vip4, p.servers4)
	p.virtualServer(&b, p.vip6, p.servers6)
	return b.String()
}

// adverts returns how often directors speak to each other: ten times a second.
func (p plan) adverts() string {
	if p.mode != Pair {
		return ""
	}
	return fmt.Sprintf("    version 3\n    advert_int %g\n", pairInterval.Seconds())
}

// scheduler returns lb_algo and its options. With mh, all directors choose the same server
// for a connection.
func (p plan) scheduler() string {
	if p.mode != Pair {
		return "    lb_algo rr\n"
	}
	return "    lb_algo mh\n    mh-port\n"
}

func (p plan) virtualServer(b *strings.Builder, vip netip.Addr, servers []netip.Addr) {
	fmt.Fprintf(b, `
virtual_server %s %d {
    delay_loop 1
%s    lb_kind %s
    protocol TCP
`, vip, servicePort, p.scheduler(), p.mode.kind())
	for _, s := range servers {
		fmt.Fprintf(b, `    real_server %s %d {
        TCP_CHECK {
            connect_timeout 1
        }
    }
`, s, p.port)
	}
	b.WriteString("}\n")
}

// picture returns the site as a drawing in ASCII.
func (p plan) picture() string {
	if p.mode == NAT {
		return p.twoArms()
	}
	return p.oneArm()
}

func (p plan) twoArms() string {
	const margin = "  %-20s%-26s"
	var b strings.Builder
	fmt.Fprintf(&b, "  %-20sVIP %s\n", "", p.vip4)
	fmt.Fprintf(&b, margin+"+-- %s %s:%d\n", "", "    "+p.vip6.String(), serverName(0), p.servers4[0], p.port)
	fmt.Fprintf(&b, margin+"+-- %s %s:%d\n", "client1 ------------", "---- director1 -----------", serverName(1), p.servers4[1], p.port)
	for i, s := range p.servers4[2:] {
		left, right := "", ""
		if i == 0 {
			left, right = p.client.String(), "     "+p.inside.String()
		}
		fmt.Fprintf(&b, margin+"+-- %s %s:%d\n", left, right, serverName(i+2), s, p.port)
	}
	b.WriteString("\n  Requests and answers pass the director, which rewrites addresses and ports.\n")
	return b.String()
}

func (p plan) oneArm() string {
	const margin = "  %-24s"
	var b strings.Builder
	fmt.Fprintf(&b, margin+"+-- director1 %-16s VIP %s\n", "", p.inside, p.vip4)
	fmt.Fprintf(&b, margin+"|%-34s%s\n", "client1 ----------------", "", p.vip6)
	if p.second.IsValid() {
		fmt.Fprintf(&b, margin+"+-- director2 %-16s on one of the two\n", "", p.second)
	}
	for i, s := range p.servers4 {
		left := ""
		if i == 0 {
			left = p.client.String()
		}
		fmt.Fprintf(&b, margin+"+-- %s   %-16s VIPs on lo\n", left, serverName(i), netip.AddrPortFrom(s, p.port))
	}
	b.WriteString("\n  Requests pass the director, which changes only the MAC; answers go straight back.\n")
	return b.String()
}
