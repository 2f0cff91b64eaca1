package parity

// Differences are the names by which scripts say why an answer of ours is another one than
// IPVS's on purpose, each with the beginning of its item among the decisions in
// ARCHITECTURE.md.
func Differences() map[string]string {
	return map[string]string{
		"anew":             "A SYN on the ports of a flow whose server was removed",
		"method":           "A server that is edited from NAT to direct routing",
		"no checksum":      "A UDP datagram over IPv4 without a checksum gets none by NAT",
		"no service":       "IPVS does nothing at all in a network namespace without any service",
		"own errors":       "ICMP errors of the director's own about packets to servers",
		"server errors":    "ICMPv6 errors of NAT servers reach the clients",
		"template timeout": "A persistence template's time is what its service has now",
		"tunnel errors":    "Errors about a tunnel's outer packets are unwrapped",
		"whole in tunnels": "A packet that came in fragments goes through a tunnel whole",
		"wrong errors":     "An ICMPv6 error with a wrong checksum",
		"ftp waits once":   "A new answer on a control connection ends what an earlier one promised and nobody came to",
	}
}
