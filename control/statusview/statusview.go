// Package statusview prints a director's Status for people: what `uvs status`
// shows, and what `uvs check` shows of a director that does not run yet. The service table
// has the words and the order of columns that users of ipvsadm know, with health and next
// hop beside them.
package statusview

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"uvs/control"
)

// Render returns s as text that ends in a newline. It depends on nothing but s:
// times are given relative to the status's own.
func Render(s control.Status) string {
	var b bytes.Buffer
	head(&b, &s)
	section(&b, "Interface\tLink\tRxFrames\tTxFrames\tRingDrops\tTxErrors\tRings\tMode", s.Interfaces, interfaceRow)
	section(&b, "Worker\tCPU\tPackets", s.Workers, workerRow)
	redundancy(&b, &s)
	section(&b, "Address\tInterface\tState", s.Addresses, addressRow)
	services(&b, &s)
	drops(&b, s.Drops)
	host(&b, &s)
	if len(s.Notes) > 0 {
		fmt.Fprintln(&b, "\nNotes")
		for _, n := range s.Notes {
			fmt.Fprintf(&b, "  %s\n", oneLine(n))
		}
	}
	return b.String()
}

// RenderPlan returns what a configuration asks for as text that ends in a newline,
// empty if it asks for nothing: addresses and services before they have a state.
func RenderPlan(addresses []control.Address, list []control.Service) string {
	var b bytes.Buffer
	section(&b, "Address\tInterface", addresses, func(a control.Address) []any { return []any{a.Address, a.Interface} })
	serviceTable(&b, list, "Forward\tWeight\tChecks",
		func(_ *control.Service, r *control.Server) []any {
			return []any{method(r.Method), r.Weight, checkKinds(r.Checks)}
		},
		func(*control.Server) {}, func(v *control.Service) { unservedRemarks(&b, v) })
	return strings.TrimPrefix(b.String(), "\n")
}

// checkKinds names the checks of a server.
func checkKinds(checks []control.Check) string {
	if len(checks) == 0 {
		return "none"
	}
	kinds := make([]string, 0, len(checks))
	for _, c := range checks {
		kinds = append(kinds, c.Kind)
	}
	return strings.Join(kinds, ", ")
}

// head writes the lines that say what runs.
func head(b *bytes.Buffer, s *control.Status) {
	fmt.Fprintf(b, "uvs %s is %s: pid %d, up %s, run directory %s\n",
		s.Version, s.State, s.PID, span(s.Uptime.Duration()), s.RunDir)
	w := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	if s.Config.File == "" {
		fmt.Fprint(w, "Config\tnone: services come by ipvsadm\n")
	} else {
		fmt.Fprintf(w, "Config\t%s (%s, %s)\n", s.Config.File, count(s.Config.Errors, "error"), count(s.Config.Notes, "note"))
	}
	steering := s.Steering.Backend
	if s.Steering.Reason != "" {
		steering += " (" + oneLine(s.Steering.Reason) + ")"
	}
	fmt.Fprintf(w, "Steering\t%s\n", steering)
	for _, p := range s.Steering.PassedOver {
		fmt.Fprintf(w, "\tnot %s: %s\n", p.Backend, oneLine(p.Reason))
	}
	for _, l := range s.Steering.Limits {
		fmt.Fprintf(w, "\tlimit: %s\n", oneLine(l))
	}
	bound := ""
	if s.Flows.MaxSource != "" {
		bound = s.Flows.MaxSource + "; "
	}
	fmt.Fprintf(w, "Flows\t%d of %d (%screated %d, expired %d)\n", s.Flows.Current, s.Flows.Max, bound, s.Flows.Created, s.Flows.Expired)
	if s.Rings.Budget > 0 {
		fmt.Fprintf(w, "Rings\t%s of %s (%s)\n", mebibytes(s.Rings.Bytes), mebibytes(s.Rings.Budget), oneLine(s.Rings.Source))
	}
	w.Flush()
}

// host writes what the preflight found, with the age of what came up later.
func host(b *bytes.Buffer, s *control.Status) {
	if len(s.Host) == 0 {
		return
	}
	fmt.Fprintln(b, "\nHost")
	now := s.Started.Add(s.Uptime.Duration())
	for _, f := range s.Host {
		fmt.Fprintf(b, "  %s", findingLine(f))
		if !f.Since.IsZero() && !f.Since.After(now) {
			fmt.Fprintf(b, " (for %s)", span(now.Sub(f.Since)))
		}
		b.WriteByte('\n')
	}
}

func findingLine(f control.Finding) string {
	if f.Problem {
		return "problem: " + oneLine(f.Text)
	}
	return "note: " + oneLine(f.Text)
}

// RenderHost returns findings as text, a line each, empty if there are none.
func RenderHost(findings []control.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		b.WriteString(findingLine(f) + "\n")
	}
	return b.String()
}

// section writes a title and a line for each of rows, nothing if there are none.
func section[T any](b *bytes.Buffer, title string, rows []T, row func(T) []any) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintln(b)
	w := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, title)
	for _, r := range rows {
		cells := row(r)
		fmt.Fprintf(w, strings.Repeat("%v\t", len(cells)-1)+"%v\n", cells...)
	}
	w.Flush()
}

func interfaceRow(i control.Interface) []any {
	link := "down"
	if i.Up {
		link = "up"
	}
	mode := i.Mode
	if i.Reason != "" {
		mode += " (" + oneLine(i.Reason) + ")"
	}
	errors := strconv.FormatUint(i.TxErrors, 10)
	if i.TxError != "" {
		errors += " (" + oneLine(i.TxError) + ")"
	}
	return []any{i.Name, link, i.RxFrames, i.TxFrames, i.RingDrops, errors, mebibytes(i.RingBytes), mode}
}

// mebibytes prints a size of memory: "12 MiB", "0.5 MiB".
func mebibytes(n uint64) string {
	if n>>20 > 9 || n&(1<<20-1) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

func workerRow(w control.Worker) []any {
	cpu := "any"
	if w.CPU >= 0 {
		cpu = strconv.Itoa(w.CPU)
	}
	return []any{w.ID, cpu, w.Packets}
}

func addressRow(a control.Address) []any {
	state := string(a.State)
	switch {
	case a.ConflictMAC != "":
		state += ", and " + a.ConflictMAC + " answers for it, too"
	case a.Detail != "":
		state += ": " + oneLine(a.Detail)
	}
	return []any{a.Address, a.Interface, state}
}

// services writes the table of all services with their state.
func services(b *bytes.Buffer, s *control.Status) {
	now := s.Started.Add(s.Uptime.Duration())
	serviceTable(b, s.Services, "Forward\tState\tWeight\tActiveConn\tInActConn\tConns\tNextHop",
		func(v *control.Service, r *control.Server) []any {
			hop := "-" // nothing asks for one
			if len(v.Unserved)+len(r.Unserved) == 0 {
				hop = nextHop(r.NextHop)
			}
			return []any{method(r.Method), r.State, weight(r), r.Active, r.Inactive, r.Counters.Conns, hop}
		},
		func(r *control.Server) {
			serverRemarks(b, r, s.Config.File != "")
			for _, c := range r.Checks {
				checkRemark(b, c, now)
			}
		},
		func(v *control.Service) { serviceRemarks(b, v, s.Config.File != "") })
}

// remark writes a line under the one it is about.
func remark(b *bytes.Buffer, format string, args ...any) {
	fmt.Fprintf(b, "       "+format+"\n", args...)
}

// serviceRemarks writes lines about a service that gets no packets, lacks its quorum, or is
// not as the configuration says, if there is one.
func serviceRemarks(b *bytes.Buffer, v *control.Service, configured bool) {
	originRemark(b, v.Origin, v.Edited, configured)
	unservedRemarks(b, v)
	if v.Panic {
		remark(b, "PANIC: servers went down at once and stay as they were until checks succeed again")
	}
	if q := v.Quorum; q != nil && !q.Up {
		remark(b, "quorum lost: weight %d, want %d", q.Weight, q.Required)
	}
}

func unservedRemarks(b *bytes.Buffer, v *control.Service) {
	for _, reason := range v.Unserved {
		remark(b, "takes no packets: %s", oneLine(reason))
	}
}

// serverRemarks is serviceRemarks for a server.
func serverRemarks(b *bytes.Buffer, r *control.Server, configured bool) {
	originRemark(b, r.Origin, r.Edited, configured)
	if r.Sorry {
		remark(b, "sorry server")
	}
	for _, reason := range r.Unserved {
		remark(b, "gets no packets: %s", oneLine(reason))
	}
	if r.Overloaded {
		remark(b, "overloaded: the upper threshold of %d connections was reached", r.UpperThreshold)
	}
}

func originRemark(b *bytes.Buffer, o control.Origin, edited, configured bool) {
	switch {
	case edited:
		remark(b, "changed by an operator")
	case o == control.FromOperator && configured:
		remark(b, "added by an operator")
	}
}

// serviceTable writes a line for each service and the servers under it, each
// followed by its remarks. All servers share the columns, so that they stay
// comparable across services.
func serviceTable(b *bytes.Buffer, list []control.Service, title string, row func(*control.Service, *control.Server) []any,
	ofServer func(*control.Server), ofService func(*control.Service)) {
	if len(list) == 0 {
		return
	}
	// The service lines and the remarks do not take part in the alignment.
	var aligned bytes.Buffer
	w := tabwriter.NewWriter(&aligned, 0, 8, 1, ' ', 0)
	fmt.Fprintf(w, "  -> RemoteAddress:Port\t%s\n", title)
	for i := range list {
		for j := range list[i].Servers {
			r := &list[i].Servers[j]
			cells := append([]any{netip.AddrPortFrom(r.Address, r.Port)}, row(&list[i], r)...)
			fmt.Fprintf(w, "  -> "+strings.Repeat("%v\t", len(cells)-1)+"%v\n", cells...)
		}
	}
	w.Flush()
	lines := strings.SplitAfter(aligned.String(), "\n")

	fmt.Fprint(b, "\nProt LocalAddress:Port Scheduler\n", lines[0])
	lines = lines[1:]
	for i := range list {
		v := &list[i]
		fmt.Fprintf(b, "%s %s\n", serviceName(v), v.Scheduler)
		ofService(v)
		for j := range v.Servers {
			b.WriteString(lines[0])
			lines = lines[1:]
			ofServer(&v.Servers[j])
		}
	}
}

// serviceName is the name of a service in ipvsadm's listings.
func serviceName(v *control.Service) string {
	switch {
	case v.Fwmark != 0 && v.IPv6:
		return fmt.Sprintf("FWM  %d IPv6", v.Fwmark)
	case v.Fwmark != 0:
		return fmt.Sprintf("FWM  %d", v.Fwmark)
	}
	return fmt.Sprintf("%-4s %s", strings.ToUpper(string(v.Protocol)), netip.AddrPortFrom(v.Address, v.Port))
}

// checkRemark writes a line about a check that deserves one: a healthy check does
// not.
func checkRemark(b *bytes.Buffer, c control.Check, now time.Time) {
	if c.State == control.CheckUp && c.LastError == "" {
		return
	}
	fmt.Fprintf(b, "       %s is %s", c.Kind, c.State)
	if !c.Since.IsZero() && !c.Since.After(now) {
		fmt.Fprintf(b, " for %s", span(now.Sub(c.Since)))
	}
	if c.LastError != "" {
		fmt.Fprintf(b, ": %s", oneLine(c.LastError))
	}
	b.WriteByte('\n')
}

// method is ipvsadm's word for a forwarding method.
func method(m control.Method) string {
	switch m {
	case control.NAT:
		return "Masq"
	case control.DR:
		return "Route"
	case control.TUN:
		return "Tunnel"
	}
	return string(m)
}

// weight is the weight that balances, with the configured one beside it if it is
// another.
func weight(r *control.Server) string {
	if r.EffectiveWeight == r.Weight {
		return strconv.Itoa(r.Weight)
	}
	return fmt.Sprintf("%d(%d)", r.EffectiveWeight, r.Weight)
}

func nextHop(h control.NextHop) string {
	if h.Interface == "" {
		return "no route"
	}
	text := h.Interface
	if h.Gateway.IsValid() {
		text += " via " + h.Gateway.String()
	}
	if h.MAC == "" {
		return text + " unresolved"
	}
	return text + " " + h.MAC
}

// drops writes the reasons that happened, the most frequent first.
func drops(b *bytes.Buffer, byReason map[string]uint64) {
	var reasons []string
	for _, r := range slices.Sorted(maps.Keys(byReason)) {
		if byReason[r] > 0 {
			reasons = append(reasons, r)
		}
	}
	slices.SortStableFunc(reasons, func(x, y string) int {
		switch {
		case byReason[x] > byReason[y]:
			return -1
		case byReason[x] < byReason[y]:
			return 1
		}
		return 0
	})
	section(b, "Dropped\tFrames", reasons, func(r string) []any { return []any{r, byReason[r]} })
}

// span prints a duration by its two largest units: "3d4h", "5m9s".
func span(d time.Duration) string {
	units := []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}}
	for i, u := range units[:len(units)-1] {
		if d >= u.length {
			next := units[i+1]
			return fmt.Sprintf("%d%s%d%s", d/u.length, u.name, d%u.length/next.length, next.name)
		}
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// count prints "1 error", "2 errors".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// oneLine keeps text from outside, such as a server's answer, in its line and free
// of what would steer the terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}
