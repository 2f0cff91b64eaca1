package ipvsadm

// A commandID is one of ipvsadm's commands. The first argument must be one.
type commandID int

const (
	noCommand commandID = iota
	cmdAddService
	cmdEditService
	cmdDeleteService
	cmdClear
	cmdList
	cmdAddServer
	cmdEditServer
	cmdDeleteServer
	cmdSet
	cmdStartDaemon
	cmdStopDaemon
	cmdRestore
	cmdSave
	cmdZero
	cmdHelp
	cmdVersion
)

// An optionID is what an option says, which several spellings may share (-t and -u
// both name a service). Checks run in this order, so when two rules are broken the
// message is ipvsadm's.
type optionID int

const (
	noOption optionID = iota
	optNumeric
	optConnection
	optService
	optScheduler
	optPersistent
	optNetmask
	optServer
	optForward
	optWeight
	optUThreshold
	optLThreshold
	optMcastInterface
	optTimeout
	optDaemon
	optStats
	optRate
	optThresholds
	optPersistentConn
	optNoSort
	optSyncID
	optExact
	optOPS
	optPE
	optSchedFlags
	optMcastGroup
	optMcastPort
	optMcastTTL
	optSyncMaxLen
	optTunInfo
	optTunType
	optTunPort
	optTunNoCsum
	optTunCsum
	optTunRemCsum

	// These two are ours.
	optAtomic
	optSaveThresholds
	lastChecked = optSaveThresholds

	// No rule speaks of these two, and they may be repeated.
	optSort optionID = iota
	optIPv6
)

// optionNames are the options' names in messages.
var optionNames = [lastChecked + 1]string{
	optNumeric:        "numeric",
	optConnection:     "connection",
	optService:        "service-address",
	optScheduler:      "scheduler",
	optPersistent:     "persistent",
	optNetmask:        "netmask",
	optServer:         "real-server",
	optForward:        "forwarding-method",
	optWeight:         "weight",
	optUThreshold:     "u-threshold",
	optLThreshold:     "l-threshold",
	optMcastInterface: "mcast-interface",
	optTimeout:        "timeout",
	optDaemon:         "daemon",
	optStats:          "stats",
	optRate:           "rate",
	optThresholds:     "thresholds",
	optPersistentConn: "persistent-conn",
	optNoSort:         "nosort",
	optSyncID:         "syncid",
	optExact:          "exact",
	optOPS:            "ops",
	optPE:             "pe",
	optSchedFlags:     "sched-flags",
	optMcastGroup:     "mcast-group",
	optMcastPort:      "mcast-port",
	optMcastTTL:       "mcast-ttl",
	optSyncMaxLen:     "sync-maxlen",
	optTunInfo:        "tun-info",
	optTunType:        "tun-type",
	optTunPort:        "tun-port",
	optTunNoCsum:      "tun-nocsum",
	optTunCsum:        "tun-csum",
	optTunRemCsum:     "tun-remcsum",
	optAtomic:         "atomic",
	optSaveThresholds: "save-thresholds",
}

// grammar is every spelling that ipvsadm 1.31 knows.
var grammar = []option{
	{short: 'A', long: "add-service", cmd: cmdAddService},
	{short: 'E', long: "edit-service", cmd: cmdEditService},
	{short: 'D', long: "delete-service", cmd: cmdDeleteService},
	{short: 'C', long: "clear", cmd: cmdClear},
	{short: 'L', long: "list", cmd: cmdList},
	{short: 'l', cmd: cmdList},
	{short: 'Z', long: "zero", cmd: cmdZero},
	{short: 'a', long: "add-server", cmd: cmdAddServer},
	{short: 'e', long: "edit-server", cmd: cmdEditServer},
	{short: 'd', long: "delete-server", cmd: cmdDeleteServer},
	{long: "set", cmd: cmdSet},
	{short: 'h', long: "help", cmd: cmdHelp},
	{short: 'v', long: "version", cmd: cmdVersion},
	{short: 'R', long: "restore", cmd: cmdRestore},
	{short: 'S', long: "save", cmd: cmdSave},
	{long: "start-daemon", arg: requiredArg, cmd: cmdStartDaemon},
	{long: "stop-daemon", arg: requiredArg, cmd: cmdStopDaemon},

	{short: 't', long: "tcp-service", arg: requiredArg, opt: optService},
	{short: 'u', long: "udp-service", arg: requiredArg, opt: optService},
	{long: "sctp-service", arg: requiredArg, opt: optService},
	{short: 'f', long: "fwmark-service", arg: requiredArg, opt: optService},
	{short: 's', long: "scheduler", arg: requiredArg, opt: optScheduler},
	{short: 'p', long: "persistent", arg: optionalArg, opt: optPersistent},
	{short: 'M', long: "netmask", arg: requiredArg, opt: optNetmask},
	{short: 'r', long: "real-server", arg: requiredArg, opt: optServer},
	{short: 'm', long: "masquerading", opt: optForward},
	{short: 'i', long: "ipip", opt: optForward},
	{short: 'g', long: "gatewaying", opt: optForward},
	{short: 'w', long: "weight", arg: requiredArg, opt: optWeight},
	{short: 'x', long: "u-threshold", arg: requiredArg, opt: optUThreshold},
	{short: 'y', long: "l-threshold", arg: requiredArg, opt: optLThreshold},
	{short: 'n', long: "numeric", opt: optNumeric},
	{short: 'c', long: "connection", opt: optConnection},
	{long: "mcast-interface", arg: requiredArg, opt: optMcastInterface},
	{long: "syncid", arg: requiredArg, opt: optSyncID},
	{long: "timeout", opt: optTimeout},
	{long: "daemon", opt: optDaemon},
	{long: "stats", opt: optStats},
	{long: "rate", opt: optRate},
	{long: "thresholds", opt: optThresholds},
	{long: "persistent-conn", opt: optPersistentConn},
	{long: "nosort", opt: optNoSort},
	{long: "sort", opt: optSort},
	{short: 'X', long: "exact", opt: optExact},
	{short: '6', long: "ipv6", opt: optIPv6},
	{short: 'o', long: "ops", opt: optOPS},
	{long: "pe", arg: requiredArg, opt: optPE},
	{short: 'b', long: "sched-flags", arg: requiredArg, opt: optSchedFlags},
	{long: "mcast-group", arg: requiredArg, opt: optMcastGroup},
	{long: "mcast-port", arg: requiredArg, opt: optMcastPort},
	{long: "mcast-ttl", arg: requiredArg, opt: optMcastTTL},
	{long: "sync-maxlen", arg: requiredArg, opt: optSyncMaxLen},
	{long: "tun-info", opt: optTunInfo},
	{long: "tun-type", arg: requiredArg, opt: optTunType},
	{long: "tun-port", arg: requiredArg, opt: optTunPort},
	{long: "tun-nocsum", opt: optTunNoCsum},
	{long: "tun-csum", opt: optTunCsum},
	{long: "tun-remcsum", opt: optTunRemCsum},
	{long: "atomic", opt: optAtomic},
	{long: "save-thresholds", opt: optSaveThresholds},
}

// A rule says what a command, or a type of tunnel, makes of an option.
type rule int

const (
	illegal   rule = iota
	optional       // may stand
	required       // must stand
	exclusive      // may stand, but only one of these
)

// rules are those of all options; an option without one is illegal.
type rules map[optionID]rule

// A command is what there is to know of a command besides its spellings.
type command struct {
	name  string // in messages
	rules rules
}

// commands are those that have options.
var commands = map[commandID]command{
	cmdAddService:    {"add-service", serviceRules},
	cmdEditService:   {"edit-service", serviceRules},
	cmdDeleteService: {"delete-service", rules{optService: required}},
	cmdClear:         {"flush", nil},
	cmdList: {"list", rules{
		optNumeric:        optional,
		optConnection:     exclusive,
		optService:        exclusive,
		optTimeout:        exclusive,
		optDaemon:         exclusive,
		optStats:          optional,
		optRate:           optional,
		optThresholds:     optional,
		optPersistentConn: optional,
		optNoSort:         optional,
		optSyncID:         optional, // and does nothing
		optExact:          optional,
		optTunInfo:        optional,
	}},
	cmdAddServer:    {"add-server", serverRules},
	cmdEditServer:   {"edit-server", serverRules},
	cmdDeleteServer: {"delete-server", rules{optService: required, optServer: required}},
	cmdSet:          {"set", nil},
	cmdStartDaemon: {"start-daemon", rules{
		optMcastInterface: optional,
		optSyncID:         optional,
		optMcastGroup:     optional,
		optMcastPort:      optional,
		optMcastTTL:       optional,
		optSyncMaxLen:     optional,
	}},
	cmdStopDaemon: {"stop-daemon", rules{optSyncID: optional}},
	cmdRestore:    {"restore", rules{optAtomic: optional}},
	cmdSave:       {"save", rules{optNumeric: optional, optSaveThresholds: optional}},
	cmdZero:       {"zero", rules{optService: optional}},
}

var serviceRules = rules{
	optService:    required,
	optScheduler:  optional,
	optPersistent: optional,
	optNetmask:    optional,
	optOPS:        optional,
	optPE:         optional,
	optSchedFlags: optional,
}

var serverRules = rules{
	optService:    required,
	optServer:     required,
	optForward:    optional,
	optWeight:     optional,
	optUThreshold: optional,
	optLThreshold: optional,
	optTunType:    optional,
	optTunPort:    optional,
	optTunNoCsum:  optional,
	optTunCsum:    optional,
	optTunRemCsum: optional,
}

// tunnelOptions are those that only tunnels have, and tunnels the rules of each type.
var (
	tunnelOptions = []optionID{optTunType, optTunPort, optTunNoCsum, optTunCsum, optTunRemCsum}

	tunnels = map[string]rules{
		"ipip": {optTunType: optional},
		"gue":  {optTunType: optional, optTunPort: required, optTunNoCsum: exclusive, optTunCsum: exclusive, optTunRemCsum: exclusive},
		"gre":  {optTunType: optional, optTunNoCsum: exclusive, optTunCsum: exclusive},
	}
)
