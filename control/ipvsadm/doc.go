// Package ipvsadm answers the command line of ipvsadm 1.31 from a running director: the
// same grammar, the same listings to the byte, the same messages and exit statuses, so
// that scripts written for ipvsadm go on working.
//
// The scanner and the rules of which option goes with which command are tables
// (grammar.go) that hold the whole of ipvsadm's grammar. A command line becomes a request,
// a request that changes something becomes a control.Edit, and the director's answer to
// that gets the text that ipvsadm has for it. Printing is pure: what control reports in,
// text out.
//
// What is taken, said and printed is what the real tool and a kernel's IPVS answered to the
// commands in testdata/captured; the tests compare byte for byte. Ours knowingly differs in
// four things: -h has its own text, messages of -R begin with the line's number, the options
// --atomic (of -R) and --save-thresholds (of -S) are ours, and connection sync is not
// served.
package ipvsadm
