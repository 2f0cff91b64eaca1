package table

import (
	"fmt"
	"net/netip"
	"slices"
)

// A quorum is what a service knows of its own (check_data.c and ipwrapper.c of keepalived).
type quorum struct {
	configured bool
	needed     int
	hysteresis int
	lost       bool
}

func (q *quorum) configure(f *FileService) {
	q.configured, q.needed, q.hysteresis = true, max(1, f.Quorum), f.Hysteresis
}

// A Verdict is what checks found out about a server of the configuration.
type Verdict struct {
	Group  string // FileService.Group
	Server netip.AddrPort
	Up     bool
}

// News tells whether a verdict changes anything: Judge leaves the table as it is for one that does not.
func (t *Table) News(v Verdict) bool {
	for _, i := range t.places().byGroup[v.Group] {
		if t.services[i].news(v) {
			return true
		}
	}
	return false
}

// news is News for one service of the group.
func (s *service) news(v Verdict) bool {
	r := s.find(v.Server)
	return r != nil && r.file != nil && r.down == v.Up
}

// Judge takes in a verdict and returns log lines in keepalived's words, none if it is no
// news. Services of one group change together.
func (t *Table) Judge(v Verdict) (lines []string) {
	for _, i := range t.places().byGroup[v.Group] {
		if !t.services[i].news(v) {
			continue
		}
		s := t.own(i)
		r := s.find(v.Server)
		r.down, r.forced = !v.Up, false
		if !r.deleted && !s.deleted {
			lines = once(lines, s.tell(r))
			lines = once(lines, s.countQuorum()...)
		}
		t.settle(s)
	}
	return lines
}

// A Weight is what checks make of a server's weight: Value instead of the configured one if
// Set, and Add on top. The zero Weight leaves it as it is.
type Weight struct {
	Set        bool
	Value, Add int
}

// maxWeight is IPVS's greatest weight.
const maxWeight = 65535

// of returns what it makes of a configured weight.
func (w Weight) of(configured int) int {
	if w.Set {
		configured = w.Value
	}
	if w == (Weight{}) {
		return configured
	}
	return max(0, min(configured+w.Add, maxWeight))
}

// Weigh takes in what checks make of a server's weight and returns log lines in keepalived's
// words, none if it is no news (update_svr_wgt).
func (t *Table) Weigh(group string, server netip.AddrPort, w Weight) (lines []string) {
	for _, i := range t.places().byGroup[group] {
		if r := t.services[i].find(server); r == nil || r.file == nil || r.checks == w {
			continue
		}
		s := t.own(i)
		r := s.find(server)
		was := r.balances()
		r.checks = w
		if is := r.balances(); is != was && !r.deleted && !s.deleted {
			state := "active"
			if r.down {
				state = "inactive"
			}
			lines = once(lines, fmt.Sprintf("Changing weight from %d to %d for %s service %s of VS %s", was, is, state, s.naming().Server(r.addr), s.naming().Service))
			lines = once(lines, s.countQuorum()...)
		}
		t.settle(s)
	}
	return lines
}

// balances returns the weight that a living server has.
func (r *server) balances() int {
	if r.file == nil || r.edited {
		return r.set.Weight // an operator's word stands
	}
	return r.checks.of(r.set.Weight)
}

// Reckon has every service look at its quorum, as when the configuration was read, and
// returns log lines in keepalived's words.
func (t *Table) Reckon() (lines []string) {
	for i := range t.services {
		if s := t.services[i]; s.file == nil || s.deleted {
			continue
		}
		s := t.own(i)
		lines = once(lines, s.countQuorum()...)
		t.settle(s)
	}
	return lines
}

// once appends those of more that lines does not have: the services of a group have one name.
func once(lines []string, more ...string) []string {
	for _, l := range more {
		if !slices.Contains(lines, l) {
			lines = append(lines, l)
		}
	}
	return lines
}

// tell is keepalived's log line for what a verdict does (perform_svr_state).
func (s *service) tell(r *server) string {
	word, preposition := "Removing", "from"
	switch {
	case !r.down && r.file.Inhibit:
		word, preposition = "Enabling", "of"
	case !r.down:
		word, preposition = "Adding", "to"
	case r.file.Inhibit:
		word, preposition = "Disabling", "of"
	}
	return fmt.Sprintf("%s service %s %s VS %s", word, s.naming().Server(r.addr), preposition, s.naming().Service)
}

// countQuorum compares the weight of the living servers with the quorum (update_quorum_state).
func (s *service) countQuorum() []string {
	alive := 0
	for _, r := range s.servers {
		if r.file != nil && !r.sorry && !r.down && !r.deleted {
			alive += r.balances()
		}
	}
	q := &s.quorum
	switch {
	case q.lost && alive >= q.needed+q.hysteresis:
		q.lost = false
		lines := []string{fmt.Sprintf("Gained quorum %d+%d=%d <= %d for VS %s", q.needed, q.hysteresis, q.needed+q.hysteresis, alive, s.naming().Service)}
		if r := s.sorry(); r != nil {
			lines = append(lines, fmt.Sprintf("%s sorry server %s from VS %s", s.sorryWord("Removing", "Disabling"), s.naming().Server(r.addr), s.naming().Service))
		}
		return lines
	case !q.lost && (alive == 0 || alive < q.needed-q.hysteresis):
		q.lost = true
		lines := []string{fmt.Sprintf("Lost quorum %d-%d=%d > %d for VS %s", q.needed, q.hysteresis, q.needed-q.hysteresis, alive, s.naming().Service)}
		if r := s.sorry(); r != nil {
			lines = append(lines, fmt.Sprintf("%s sorry server %s to VS %s", s.sorryWord("Adding", "Enabling"), s.naming().Server(r.addr), s.naming().Service))
		}
		return lines
	}
	return nil
}

func (s *service) sorryWord(plain, inhibited string) string {
	if s.sorry().file.Inhibit {
		return inhibited
	}
	return plain
}

// Alive reports whether a server's checks hold it for alive; one that is not of the
// configuration always is.
func (t *Table) Alive(group string, server netip.AddrPort) bool {
	for _, i := range t.places().byGroup[group] {
		if r := t.services[i].find(server); r != nil {
			return !r.down
		}
	}
	return true
}
