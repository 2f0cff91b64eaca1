package main

import (
	"context"
	"slices"

	"uvs/bench/outcome"
)

// apart is pps with the other placement: frames are received on the core that sent them, and the director's
// core has nothing but the director's program and the sink. It is how a director with cores to spare for
// its interfaces' interrupts works. Kernel forwarding, which is receive softirq, then runs beside the generator.
type apart struct{ pps }

func (a apart) about() outcome.Load {
	l := a.pps.about()
	l.Name = "pps-apart"
	l.About = "As pps, but the receive softirq runs where frames were sent, so beside the generator, and the director's core has the director's program, the " +
		"sink and nothing else. Kernel forwarding is softirq and takes its time from the generator here, whose limit comes early: the ratio compares a machine " +
		"whose second core UVS can use with one whose kernel cannot."
	l.Cases = slices.DeleteFunc(l.Cases, func(variation string) bool { return !judgedByRate(variation) })
	return l
}

func (a apart) takes(c contender, variation string) bool {
	return c.kind != nobody && a.pps.takes(c, variation)
}

func (a apart) prepare(_ context.Context, s *site) (undo func() error, err error) {
	before := s.softirq
	s.softirq = softirqSender
	return func() error { s.softirq = before; return nil }, nil
}
