package forwarding

import (
	"time"

	"uvs/conntrack"
)

// estimateEvery is how often rates are estimated (ip_vs_est.c).
const estimateEvery = 2 * time.Second

// A meter shows running totals as ipvsadm does: from a zero point on, with rates per
// second. It never writes what workers count. Engine.mu guards it.
type meter struct {
	base Totals // the zero point
	last Totals // at the last estimate
	// The averages: connections and packets times 1024, bytes times 32.
	average Rates
}

// shown returns the totals since the zero point (ip_vs_copy_stats).
func (m *meter) shown(raw Totals) Totals { return raw.minus(m.base) }

// zero makes the present totals the zero point; rates begin anew (ip_vs_zero_stats).
func (m *meter) zero(raw Totals) { *m = meter{base: raw, last: raw} }

// estimate moves the averages a quarter of the way to the rates of the last two seconds
// (estimation_timer).
func (m *meter) estimate(raw Totals) {
	delta := raw.minus(m.last)
	m.last = raw
	move := func(average *uint64, rate uint64) {
		*average = uint64(int64(*average) + (int64(rate)-int64(*average))>>2)
	}
	// Scaled, but per two seconds.
	move(&m.average.Connections, delta.Connections<<9)
	move(&m.average.PacketsIn, delta.PacketsIn<<9)
	move(&m.average.PacketsOut, delta.PacketsOut<<9)
	move(&m.average.BytesIn, delta.BytesIn<<4)
	move(&m.average.BytesOut, delta.BytesOut<<4)
}

// rates returns the averages without their scale, rounded (ip_vs_read_estimator).
func (m *meter) rates() Rates {
	a := &m.average
	return Rates{
		Connections: (a.Connections + 0x1ff) >> 10,
		PacketsIn:   (a.PacketsIn + 0x1ff) >> 10,
		PacketsOut:  (a.PacketsOut + 0x1ff) >> 10,
		BytesIn:     (a.BytesIn + 0xf) >> 5,
		BytesOut:    (a.BytesOut + 0xf) >> 5,
	}
}

// estimate takes the rates of what happened since the last call, two seconds ago.
func (e *Engine) estimate() {
	if !e.sysctls.Load().RunEstimation {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	total := e.past
	for _, s := range e.services {
		sum := s.past
		for _, d := range s.servers {
			raw := d.totals()
			d.meter.estimate(raw)
			sum.add(raw.minus(d.entered))
		}
		s.meter.estimate(sum)
		total.add(sum)
	}
	e.meter.estimate(total)
}

// Zero makes counters and rates begin anew: those of one service and its servers, or with
// nil those of all services and of the whole engine. It returns ErrNoService if there is no
// such service. Safe for use by many goroutines.
func (e *Engine) Zero(k *ServiceKey) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if k != nil {
		s := e.services[*k]
		if s == nil {
			return ErrNoService
		}
		s.zero()
		return nil
	}
	for _, s := range e.services {
		s.zero()
	}
	e.meter.zero(e.raw())
	return nil
}

// zero lets the service's and its servers' counters begin anew (ip_vs_zero_service).
func (s *service) zero() {
	for _, d := range s.servers {
		d.meter.zero(d.totals())
	}
	s.meter.zero(s.raw())
}

// raw returns what was ever counted for the service.
func (s *service) raw() Totals {
	t := s.past
	for _, d := range s.servers {
		t.add(d.totals().minus(d.entered))
	}
	return t
}

// raw returns what was ever counted for all services, deleted ones included.
func (e *Engine) raw() Totals {
	t := e.past
	for _, s := range e.services {
		t.add(s.raw())
	}
	return t
}

// Totals returns what was counted for all services since the start or the last Zero, and the
// rates of that. Safe for use by many goroutines.
func (e *Engine) Totals() (Totals, Rates) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.meter.shown(e.raw()), e.meter.rates()
}

// SetTimeouts changes how long flows stay without a packet: established TCP flows, TCP
// flows in FIN_WAIT, UDP flows; up to 31 days, 0 leaves what is in force. As in the kernel,
// a flow learns of it at its next packet. If one is out of range nothing changes and the
// error names it. Safe for use by many goroutines.
func (e *Engine) SetTimeouts(tcp, tcpFin, udp time.Duration) error {
	return e.flows.SetTimeouts(conntrack.Timeouts{
		conntrack.Established: tcp,
		conntrack.FinWait:     tcpFin,
		conntrack.UDP:         udp,
	})
}

// Timeouts returns what SetTimeouts sets. Safe for use by many goroutines.
func (e *Engine) Timeouts() (tcp, tcpFin, udp time.Duration) {
	tm := e.flows.Timeouts()
	return tm[conntrack.Established], tm[conntrack.FinWait], tm[conntrack.UDP]
}
