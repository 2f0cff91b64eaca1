package conntrack

// A SeqShift says by how much the sequence numbers of one direction of a TCP connection are
// changed on their way, because payload was replaced by longer or shorter one (struct
// nf_ct_seqadj in include/net/netfilter/nf_conntrack_seqadj.h, struct ip_vs_seq). The zero
// value changes nothing.
type SeqShift struct {
	At            uint32 // number, as the sender counts, of the last segment whose length was changed
	Before, After int32  // what is added to numbers up to At, and beyond
}

// Note takes note of a segment whose length changes by so many bytes. One that was noted
// already, or is older, changes nothing (nf_ct_seqadj_set).
func (s *SeqShift) Note(seq uint32, change int) {
	if change == 0 || s.Before != s.After && int32(seq-s.At) <= 0 {
		return
	}
	s.At, s.Before, s.After = seq, s.After, s.After+int32(change)
}

// Zero reports whether nothing is changed.
func (s *SeqShift) Zero() bool { return s.Before == 0 && s.After == 0 }

// Forth returns the number that the receiver is to see for one of the sender.
func (s *SeqShift) Forth(seq uint32) uint32 {
	if int32(seq-s.At) > 0 {
		return seq + uint32(s.After)
	}
	return seq + uint32(s.Before)
}

// Back returns the number that the sender is to see for one that the receiver acknowledges
// (nf_ct_seq_adjust).
func (s *SeqShift) Back(ack uint32) uint32 {
	if int32(ack-uint32(s.Before)-s.At) > 0 {
		return ack - uint32(s.After)
	}
	return ack - uint32(s.Before)
}
