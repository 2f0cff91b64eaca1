package sched

// A Server is what a scheduler must know of a real server. Its values must be comparable:
// a scheduler finds the server it chose last again by ==.
type Server interface {
	Weight() int      // 0 keeps connections and takes no new ones
	Active() int      // connections in ActiveConn
	Inactive() int    // connections in InActConn
	Overloaded() bool // its upper threshold is reached
}

// A Scheduler chooses servers for one service. It is owned by one goroutine at a time.
type Scheduler interface {
	// Name returns the scheduler's name in keepalived.conf and ipvsadm.
	Name() string

	// Update takes the service's servers, newest first: at the start and whenever one was
	// added, edited or deleted. The scheduler keeps the slice, which must not change.
	Update(list []Server)

	// Pick returns the index of the chosen server in the list of the last Update, or −1
	// if none is available. Weights, counts and overload are read as they are now. It does
	// not allocate.
	Pick() int
}

// none is the index of no server; as a position it is the place before the first one.
const none = -1

// New returns the scheduler of that name, without servers, and whether there is one.
func New(name string) (Scheduler, bool) {
	switch name {
	case "rr":
		return &roundRobin{last: none}, true
	case "wrr":
		return newWeightedRoundRobin(), true
	case "lc":
		return &leastConnection{}, true
	case "wlc":
		return &weightedLeastConnection{}, true
	}
	return nil, false
}

// Names returns the names that New knows, sorted.
func Names() []string { return []string{"lc", "rr", "wlc", "wrr"} }

// available reports whether a server may get a new connection.
func available(s Server) bool { return s.Weight() > 0 && !s.Overloaded() }

// overhead is what a server's connections cost it: an active one as much as 256 inactive
// ones (ip_vs_dest_conn_overhead).
func overhead(s Server) int64 { return int64(s.Active())<<8 + int64(s.Inactive()) }
