package outcome

import (
	"encoding/json"
	"time"
)

// A Machine is where and with what a run took place.
type Machine struct {
	CPU      string            `json:"cpu"`   // model
	Cores    int               `json:"cores"` // that we may use
	Memory   string            `json:"memory"`
	Kernel   string            `json:"kernel"`
	Date     time.Time         `json:"date"`
	Commit   string            `json:"commit"` // of the working tree, "-dirty" when changed
	Go       string            `json:"go"`
	Load     string            `json:"load"`     // load averages when the run began
	Programs map[string]string `json:"programs"` // versions
	Command  string            `json:"command"`  // that made the run
}

// Parameters are what a run can be repeated with.
type Parameters struct {
	Rounds  int     `json:"rounds"`
	Seconds float64 `json:"seconds"` // of each measurement
	WarmUp  float64 `json:"warm_up"` // seconds of load before it
	Seed    uint64  `json:"seed"`    // of the contenders' order
	// Profile is "quick", "default" or "full": which cases there are and how often.
	Profile string `json:"profile"`
	// Softirq is "director" or "sender": whose core receives for the director's interfaces.
	Softirq string `json:"softirq"`
}

// A Load is one scenario, as a reader of results needs to know it.
type Load struct {
	Name  string `json:"name"`
	About string `json:"about"`
	Unit  string `json:"unit"`
	// LessIsBetter: the value is a cost, such as a time.
	LessIsBetter bool     `json:"less_is_better,omitempty"`
	Cases        []string `json:"cases"`
	// Metrics are what is told beside the value, in this order.
	Metrics []Metric `json:"metrics,omitempty"`
}

// A Metric is a further figure of a scenario's runs.
type Metric struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
}

// A Run is one measurement: a line of the raw data.
type Run struct {
	Round     int       `json:"round"` // from 1
	Scenario  string    `json:"scenario"`
	Case      string    `json:"case"`
	Contender string    `json:"contender"`
	Time      time.Time `json:"time"` // when it began
	Value     float64   `json:"value"`
	Unit      string    `json:"unit"`
	// Limit is who kept the value from being better, if that was not the contender.
	Limit   string             `json:"limit,omitempty"`
	Metrics map[string]float64 `json:"metrics,omitempty"`
	// CPU is the part of all CPUs' time that was used, by anyone, from 0 to 1, and Steal
	// the part that the hypervisor gave to others.
	CPU   float64 `json:"cpu"`
	Steal float64 `json:"steal"`
	// Retransmits counts TCP segments that any host sent again.
	Retransmits uint64            `json:"retransmits"`
	Counters    map[string]uint64 `json:"counters"` // by how much the contender's own grew
	Load        string            `json:"load"`     // the machine's load averages when it began
	Command     string            `json:"command"`
	Offloads    map[string]string `json:"offloads"`         // by host and interface
	Output      json.RawMessage   `json:"output,omitempty"` // of the command
}
