// Package ldirectord rewrites an ldirectord.cf(5) as keepalived.conf. It is pure: names of hosts and services are
// resolved by what the caller gives, and nothing is opened.
package ldirectord
