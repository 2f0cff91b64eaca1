package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// schema is the version of Results, Row and Run. It changes when a field changes its
// meaning, not when one is added.
const schema = 1

// Parameters are what a run can be repeated with.
type Parameters struct {
	Rounds  int    `json:"rounds"`
	Seconds int    `json:"seconds"` // of each measurement
	WarmUp  int    `json:"warm_up"` // seconds of load before it
	Seed    uint64 `json:"seed"`    // of the contenders' order
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
	// CPU is the part of all CPUs' time that was used, by anyone, from 0 to 1, and Steal
	// the part that the hypervisor gave to others.
	CPU   float64 `json:"cpu"`
	Steal float64 `json:"steal"`
	// Retransmits counts TCP segments that any host sent again.
	Retransmits uint64            `json:"retransmits"`
	Counters    counters          `json:"counters"` // by how much the contender's own grew
	Load        string            `json:"load"`     // the machine's load averages when it began
	Command     string            `json:"command"`
	Offloads    map[string]string `json:"offloads"` // by host and interface
	Output      json.RawMessage   `json:"output"`   // of the command
}

// Results are a whole run, summarised.
type Results struct {
	Schema     int               `json:"schema"`
	Name       string            `json:"name"`
	Machine    Machine           `json:"machine"`
	Parameters Parameters        `json:"parameters"`
	Contenders map[string]string `json:"contenders"` // what each one is
	Rows       []Row             `json:"rows"`
}

// A Row is one contender in one case of one scenario.
type Row struct {
	Scenario  string  `json:"scenario"`
	Case      string  `json:"case"`
	Contender string  `json:"contender"`
	Unit      string  `json:"unit"`
	Value     Summary `json:"value"`
	// Ratio is that to the reference of the same round; nil if the reference did not run.
	Ratio       *Summary `json:"ratio,omitempty"`
	CPU         Summary  `json:"cpu"`
	Retransmits Summary  `json:"retransmits"`
	Goal        *Verdict `json:"goal,omitempty"`
}

// summarise makes rows of runs, in the order of scenarios, cases and contenders.
func summarise(o options, m Machine, loads []scenario, field []contender, runs []Run) *Results {
	r := &Results{Schema: schema, Name: o.name, Machine: m, Parameters: o.parameters, Contenders: make(map[string]string)}
	for _, c := range field {
		r.Contenders[c.name] = c.about
	}
	for _, load := range loads {
		for _, variation := range load.cases() {
			for _, c := range field {
				r.Rows = append(r.Rows, newRow(load, variation, c.name, runs))
			}
		}
	}
	return r
}

func newRow(load scenario, variation, contender string, runs []Run) Row {
	row := Row{Scenario: load.name(), Case: variation, Contender: contender, Unit: load.unit()}
	of := func(name string) map[int]Run {
		rounds := make(map[int]Run)
		for _, r := range runs {
			if r.Scenario == row.Scenario && r.Case == variation && r.Contender == name {
				rounds[r.Round] = r
			}
		}
		return rounds
	}
	var values, ratios, cpu, retransmits []float64
	base := of(reference)
	for round, r := range of(contender) {
		values, cpu, retransmits = append(values, r.Value), append(cpu, r.CPU), append(retransmits, float64(r.Retransmits))
		if b, ok := base[round]; ok {
			ratios = append(ratios, r.Value/b.Value)
		}
	}
	row.Value, row.CPU, row.Retransmits = summary(values), summary(cpu), summary(retransmits)
	if len(ratios) == 0 {
		return row
	}
	s := summary(ratios)
	row.Ratio = &s
	for _, g := range load.goals() {
		if g.contender == contender {
			v := judge(g.ratio, ratios)
			row.Goal = &v
		}
	}
	return row
}

// save writes the summary as JSON and as text beside the raw data.
func (r *Results) save(dir, text string) error {
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, r.Name+".json"), append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, r.Name+".md"), []byte(text), 0o644)
}

// A rawFile is one JSON value a line: the Machine, then each Run as it ends, so that an
// interrupted run keeps what it measured.
type rawFile struct{ file *os.File }

func newRawFile(dir, name string) (*rawFile, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(dir, name+".jsonl"))
	if err != nil {
		return nil, err
	}
	return &rawFile{f}, nil
}

func (f *rawFile) write(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("raw data: %w", err)
	}
	_, err = f.file.Write(append(b, '\n'))
	return err
}

func (f *rawFile) close() { _ = f.file.Close() } // every write was checked
