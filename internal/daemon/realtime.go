package daemon

// realtime is the priority of VRRP's thread: what the configuration says, or else the flag.
// Measured with all CPUs and the data plane saturated, adverts are late by 5 to 13 ms on the
// average without a real-time priority, and by up to 127 ms; with one by 0.05 ms and 0.1 to
// 7 ms. The thread sleeps nearly always, and nobody else gets the priority.
func (p *vrrpPlan) realtime(o *Options) int {
	if p.rtPriority > 0 {
		return p.rtPriority
	}
	return o.VRRPRealtime
}
