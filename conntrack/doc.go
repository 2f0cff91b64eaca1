// Package conntrack is the flow table: which client's connection goes to which real
// server, in which TCP state, until when. It knows no services and no schedulers; a
// flow carries an opaque [ServerID].
//
// # Shape
//
// A [Table] is split into shards by a keyed hash of protocol, client address and
// client port, so both directions of a flow live in one shard and one lock guards
// both. The shards are apart for each worker, by the same number that fanout spreads
// clients by ([Spread]): no lock goes to and fro between cores. Entries hold no pointers and lie in mapped memory outside the Go heap: 64
// bytes for IPv4, 100 for IPv6 (entry.go, arena.go). In front of them is one index per
// shard of 8-byte slots (index.go); behind them a timing wheel per shard (wheel.go),
// which [Table.Expire] drives. The bound on flows is exact (credits.go).
//
// # Way of a packet
//
// [Table.Find] answers with the flow's shard locked, the caller reads and advances
// the [Flow], then calls [Flow.Unlock]. A packet only writes the entry's deadline;
// the wheel files the entry anew when it fires. Find takes no lock for the direction
// that does not match, so the packets of one busy server never meet on one lock.
//
// A flow with a local end (FULLNAT) is found from its server's side by way of a second table
// (lease.go); its requests cost what those of other flows cost.
//
// # Helpers
//
// A flow whose payload tells of other flows, as FTP's does, may have a [Helper] beside its
// entry (helper.go): changes of sequence numbers, and how many flows it controls. It stays as
// long as they do.
//
// # Semantics
//
// States, timeouts and what counts as active are those of the Linux kernel's IPVS
// (net/netfilter/ipvs/ip_vs_proto_tcp.c, ip_vs_proto_udp.c, ip_vs_proto_sctp.c, ip_vs_conn.c).
package conntrack
