// Package hostmarks reads the netfilter rules of this host that give packets firewall marks,
// as far as they can be told by other means: by addresses, protocol, destination ports and
// device. A director's packets pass no netfilter rule, so it marks them by these.
//
// iptables' table mangle (PREROUTING, INPUT) and nftables' chains at these hooks are read,
// through the programs that list them. Nothing on the host is changed, and no table is made
// by asking for it.
package hostmarks
