package daemon

import (
	"context"
	"fmt"
	"slices"
	"time"

	"uvs/config"
	"uvs/internal/hostnet"
)

// look tells keep that the network changed. It does not wait.
func (h *holdings) look() {
	select {
	case h.retry <- struct{}{}:
	default:
	}
}

// settleTime is how far a snapshot may be behind what we did ourselves (four of hostnet's
// intervals): only what is missing for longer has disappeared.
const settleTime = 200 * time.Millisecond

// keep puts back what owners own and disappears: the kernel drops the IPv6 addresses of a
// link that is set down, and secondary IPv4 addresses with their primary; operators err.
// announce is called for each instance that has addresses again.
func (h *holdings) keep(ctx context.Context, snapshot func() *hostnet.Snapshot, announce func(instance string)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.retry:
		}
		if len(h.incomplete(snapshot())) == 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(settleTime):
		}
		s := snapshot()
		for instance, what := range h.incomplete(s) {
			h.log.Warn("what belongs to a master has disappeared and is put back", "instance", instance, "what", what)
			h.take(s, instance)
			announce(instance)
		}
	}
}

// incomplete returns the owners that lack something which could be there, and what.
func (h *holdings) incomplete(s *hostnet.Snapshot) map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	lacks := make(map[string]string)
	for _, p := range h.plan.addresses {
		link, ok := h.links.find(s, p.device)
		if h.owners[p.instance] && ok && link.Up && !present(s, link.Index, p.prefix) && h.taken(p) {
			lacks[p.instance] = fmt.Sprintf("%s on %s", p.prefix, p.device)
		}
	}
	for _, r := range h.plan.routes {
		spec, err := translateRoute(r.spec, h.links.in(s))
		if h.owners[r.instance] && err == nil && !r.spec.HasProtocol && !s.HasRoute(spec) && h.linksUp(s, &r.spec) {
			lacks[r.instance] = "route " + spec.String()
		}
	}
	for _, r := range h.plan.rules {
		if h.owners[r.instance] && !s.HasRule(translateRule(r.spec)) {
			lacks[r.instance] = "rule " + translateRule(r.spec).String()
		}
	}
	return lacks
}

// taken reports whether an address was put on, or found, once: then it has disappeared and
// is not just about to come; or that it could not be, as its device came later. h.mu is held.
func (h *holdings) taken(p addressPlan) bool {
	return slices.Contains(h.owned, p.key()) || h.present[p.key()] || h.absent[p.key()]
}

// linksUp reports whether a route could be there: its device is up.
func (h *holdings) linksUp(s *hostnet.Snapshot, r *config.Route) bool {
	l, ok := h.links.find(s, r.Device)
	return r.Device != "" && ok && l.Up
}
