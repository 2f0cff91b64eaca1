package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"uvs/internal/netlab"
)

// How long the stages are watched.
const (
	evenTime     = 3 * time.Second // everybody answers
	withoutTime  = 2 * time.Second // after the death is known
	againTime    = 2500 * time.Millisecond
	bulkTime     = 2 * time.Second
	eventTimeout = 10 * time.Second // for a detection, which is then far too late
)

// victim is the index of the server that is killed.
const victim = 1

// A scenario is one mode while it is shown. It is owned by one goroutine.
type scenario struct {
	screen *screen
	exe    string
	plan   plan
	top    *netlab.Topology
	seen   *outcome

	director  *director   // who is asked for the table
	directors []*director // of two
	servers   []*netlab.Process
	load      *load
	tally     *tally
	shown     int // requests that the tally has
}

// show builds the site of a mode, tells the story in it, and takes it down again. What
// breaks the story off is in the outcome.
func show(ctx context.Context, screen *screen, exe string, m Mode) outcome {
	seen := outcome{mode: m}
	seen.err = inSite(ctx, screen, exe, m, &seen)
	if seen.err != nil && ctx.Err() == nil {
		screen.textf("%s: %v\n", m, seen.err)
	}
	return seen
}

func inSite(ctx context.Context, screen *screen, exe string, m Mode, seen *outcome) (err error) {
	top, err := m.build()
	if err != nil {
		return err
	}
	s := &scenario{screen: screen, exe: exe, plan: planOf(m, top), top: top, seen: seen}
	seen.order, seen.source = s.plan.order(), s.plan.client.String()
	err = s.run(ctx)
	if s.load != nil {
		s.load.stop()
	}
	if err != nil && ctx.Err() == nil {
		for _, d := range s.allDirectors() {
			screen.textf("\nThe log of %s:\n%s", d.host.Name(), d.proc.Output())
		}
	}
	return errors.Join(err, takeDown(top.Site, seen))
}

// allDirectors are those that were started.
func (s *scenario) allDirectors() []*director {
	all := slices.Clone(s.directors)
	if len(all) == 0 {
		all = append(all, s.director)
	}
	return slices.DeleteFunc(all, func(d *director) bool { return d == nil })
}

// takeDown closes a site and notes what the kernel still has of it.
func takeDown(site *netlab.Site, seen *outcome) error {
	before, err := tracesOf(site)
	if err := errors.Join(err, site.Close()); err != nil {
		return err
	}
	seen.survivors = before.left()
	return nil
}

// run is the story.
func (s *scenario) run(ctx context.Context) error {
	steps := []func(context.Context) error{
		s.start, s.sequence, s.everybody, s.death, s.comeback, s.bulk, s.end,
	}
	if s.plan.mode == Pair {
		steps = s.pairSteps()
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// start starts servers and director.
func (s *scenario) start(ctx context.Context) error {
	s.screen.heading(fmt.Sprintf("%s: a client, a director and %d real servers, each in a network namespace", s.plan.mode, serverCount))
	s.screen.text(s.plan.picture())
	s.screen.textf("\n$ cat keepalived.conf\n%s\n$ uvs run -f keepalived.conf\n", s.plan.config(0))
	if err := s.startServers(); err != nil {
		return err
	}
	began := time.Now()
	d, status, err := launch(ctx, s.top.Directors[0], s.exe, s.plan.config(0), ready)
	if err != nil {
		return err
	}
	if status.Config.Errors > 0 {
		return fmt.Errorf("the configuration does not run as written:\n%s", d.proc.Output())
	}
	s.director, s.seen.ready = d, time.Since(began)
	s.screen.textf("The director forwards after %s (%d workers, steering by %s).\n\n",
		seconds(s.seen.ready), len(status.Workers), status.Steering.Backend)
	return nil
}

// startServers starts the real servers and prepares the client.
func (s *scenario) startServers() error {
	// The usual range comes round within the demo, and as in IPVS a flow that is still
	// known keeps its server when the client uses its port again: shares would not be even.
	if err := s.top.Clients[0].Sysctl("net.ipv4.ip_local_port_range", "1024 65535"); err != nil {
		return err
	}
	for i := range s.top.Servers {
		p, err := s.startServer(i)
		if err != nil {
			return err
		}
		s.servers = append(s.servers, p)
	}
	for _, p := range s.servers {
		if err := p.WaitOutput(startTimeout, "ready"); err != nil {
			return err
		}
	}
	return nil
}

func (s *scenario) startServer(i int) (*netlab.Process, error) {
	return s.top.Servers[i].Start(s.exe, "demo", "serve", "--name", serverName(i), "--port", strconv.Itoa(int(s.plan.port)))
}

// sequence asks one after the other, so that the scheduler's order shows.
func (s *scenario) sequence(ctx context.Context) error {
	ask := func(vip netip.Addr) (names []string) {
		client := newClient(s.top.Clients[0])
		for range 3 * serverCount {
			r := get(ctx, client, url(vip, "/"))
			name := r.server
			if r.err != nil {
				name = r.err.Error()
			}
			names = append(names, name)
		}
		return names
	}
	s.seen.order4 = ask(s.plan.vip4)
	s.seen.order6 = ask(s.plan.vip6)
	s.screen.textf("IPv4 requests one by one: %s\n", strings.Join(s.seen.order4, " "))
	s.screen.textf("IPv6 requests one by one: %s\n", strings.Join(s.seen.order6, " "))
	return ctx.Err()
}

// everybody is the first stage: all servers answer.
func (s *scenario) everybody(ctx context.Context) error {
	s.stage("1", "every server answers")
	s.load = startLoad(ctx, s.top.Clients[0], url(s.plan.vip4, "/"))
	s.tally = newTally(time.Now(), serverCount)
	from := time.Now()
	if err := s.watch(ctx, evenTime); err != nil {
		return err
	}
	s.seen.even = s.shares(from)
	return s.table(ctx, -1)
}

// death is the second stage: one server is killed, and the rest takes over.
func (s *scenario) death(ctx context.Context) error {
	name := serverName(victim)
	s.stage("2", name+" is killed")
	died := time.Now()
	if err := s.servers[victim].Signal(os.Kill); err != nil {
		return err
	}
	s.say(died, "%s is killed (SIGKILL)", name)
	known, err := s.until(ctx, s.victimIs(ctx, false, s.plan.servers4))
	s.seen.died, s.seen.known = died, known
	if err != nil {
		return fmt.Errorf("wait until %s is out of the table: %w", name, err)
	}
	s.say(known, "%s is out of the table, %s after its death", name, seconds(known.Sub(died)))
	if err := s.watch(ctx, withoutTime); err != nil {
		return err
	}
	s.seen.without = s.shares(known)
	if _, err := s.until(ctx, s.victimIs(ctx, false, s.plan.servers6)); err != nil {
		return fmt.Errorf("wait until %s is out of the IPv6 service: %w", name, err)
	}
	return s.table(ctx, victim)
}

// comeback is the third stage: the server is started again.
func (s *scenario) comeback(ctx context.Context) error {
	name := serverName(victim)
	s.stage("3", name+" is brought back")
	s.seen.started = time.Now()
	p, err := s.startServer(victim)
	if err != nil {
		return err
	}
	s.servers[victim] = p
	s.say(s.seen.started, "%s is started", name)
	back, err := s.until(ctx, s.victimIs(ctx, true, s.plan.servers4))
	if err != nil {
		return fmt.Errorf("wait until %s is back in the table: %w", name, err)
	}
	s.seen.back = back
	s.say(back, "%s is back in the table after %s", name, seconds(back.Sub(s.seen.started)))
	if err := s.watch(ctx, againTime); err != nil {
		return err
	}
	s.seen.again = s.shares(back)
	if _, err := s.until(ctx, s.victimIs(ctx, true, s.plan.servers6)); err != nil {
		return fmt.Errorf("wait until %s is back in the IPv6 service: %w", name, err)
	}
	if err := s.table(ctx, -1); err != nil {
		return err
	}
	s.load.stop()
	s.seen.requests = s.load.since(0)
	return nil
}

// bulk loads down through one connection and looks which way the bytes went.
func (s *scenario) bulk(ctx context.Context) error {
	s.stage("4", "one bulk download")
	before, err := s.director.counters(ctx)
	if err != nil {
		return err
	}
	s.seen.bulk = download(ctx, s.top.Clients[0], url(s.plan.vip4, "/bulk"), bulkTime)
	after, err := s.director.counters(ctx)
	if err != nil {
		return err
	}
	s.seen.passedOut = after.OutBytes - before.OutBytes
	s.screen.textf("%s in %s by one TCP connection: %s\n", megabytes(s.seen.bulk.bytes), seconds(s.seen.bulk.took), gbits(s.seen.bulk))
	return ctx.Err()
}

// end stops the director and looks what is left.
func (s *scenario) end(ctx context.Context) error {
	s.stage("5", "the director is stopped")
	began := time.Now()
	s.seen.stopErr = s.director.proc.Stop()
	s.screen.textf("$ kill -TERM director   # %s\n", seconds(time.Since(began)))
	left, err := s.director.leftovers(ctx)
	s.seen.left = left
	if err == nil {
		s.screen.textf("$ uvs cleanup\n%s\n", orNothing(left, "nothing to remove"))
	}
	return err
}

// stage begins a part of the story.
func (s *scenario) stage(number, title string) {
	s.screen.stage(time.Now(), s.plan.mode, number, title)
}

// say tells of an event at a time.
func (s *scenario) say(at time.Time, format string, args ...any) {
	s.screen.event(at.Sub(s.tally.start), fmt.Sprintf(format, args...))
}

// victimIs returns a condition: whether the table has the victim, by one of its addresses.
func (s *scenario) victimIs(ctx context.Context, there bool, servers []netip.Addr) func() (bool, error) {
	return func() (bool, error) {
		in, err := s.director.inTable(ctx, servers)
		return err == nil && in[victim] == there, err
	}
}

// watch shows the load for a time.
func (s *scenario) watch(ctx context.Context, d time.Duration) error {
	end := time.Now().Add(d)
	_, err := s.until(ctx, func() (bool, error) { return time.Now().After(end), nil })
	return err
}

// until shows the load until cond is true, and returns when that was.
func (s *scenario) until(ctx context.Context, cond func() (bool, error)) (time.Time, error) {
	return poll(ctx, eventTimeout, func() (bool, error) {
		if ok, err := cond(); ok || err != nil {
			return ok, err
		}
		return false, s.draw(ctx, time.Now())
	})
}

// draw brings the picture up to date when that is due.
func (s *scenario) draw(ctx context.Context, now time.Time) error {
	if !s.screen.due(now) {
		return nil
	}
	in, err := s.director.inTable(ctx, s.plan.servers4)
	if err != nil {
		return err
	}
	news := s.load.since(s.shown)
	s.shown += len(news)
	s.tally.add(news)
	s.screen.draw(now, s.tally.picture(now, in))
	return nil
}

// shares counts who answered the requests that were begun after a time.
func (s *scenario) shares(after time.Time) []int {
	return answers(s.load.since(0), after, serverCount)
}

// table prints `ipvsadm -Ln` and notes where it is wrong; missing is the index of the
// server that must not be there, or -1.
func (s *scenario) table(ctx context.Context, missing int) error {
	s.screen.release()
	text, err := s.director.ipvsadm(ctx)
	if err != nil {
		return err
	}
	s.screen.textf("$ ipvsadm -Ln\n%s", text)
	s.seen.tables = append(s.seen.tables, wrongRows(text, s.plan.rows(), missing))
	return nil
}

// url returns the URL of a path on a virtual address.
func url(vip netip.Addr, path string) string {
	return "http://" + netip.AddrPortFrom(vip, servicePort).String() + path
}
