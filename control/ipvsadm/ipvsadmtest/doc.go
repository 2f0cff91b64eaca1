// Package ipvsadmtest plays transcripts of the real ipvsadm: a list of commands, and what
// ipvsadm 1.31 on a kernel's IPVS answered to each. Tests play them with our ipvsadm on a
// model of the kernel and on the director's own table, and scripts/ipvsadm-captures.sh plays
// them with the real one to write the answers.
package ipvsadmtest
