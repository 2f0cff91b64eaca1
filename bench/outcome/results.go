package outcome

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Schema is the version of Results, Row and Run. It changes when a field changes its
// meaning, not when one is added.
const Schema = 2

// Reference is the contender that all others are compared with.
const Reference = "kernel"

// A Contender is who forwarded.
type Contender struct {
	Name  string `json:"name"`
	About string `json:"about"`
}

// Results are a whole run, summarised.
type Results struct {
	Schema     int         `json:"schema"`
	Name       string      `json:"name"`
	Machine    Machine     `json:"machine"`
	Parameters Parameters  `json:"parameters"`
	Contenders []Contender `json:"contenders"`
	Loads      []Load      `json:"loads"`
	Rows       []Row       `json:"rows"`
	Targets    []Judgement `json:"targets"`
	// Incomplete is the error that ended the run early, if one did.
	Incomplete string `json:"incomplete,omitempty"`
}

// A Row is one contender in one case of one scenario.
type Row struct {
	Scenario  string  `json:"scenario"`
	Case      string  `json:"case"`
	Contender string  `json:"contender"`
	Unit      string  `json:"unit"`
	Rounds    int     `json:"rounds"` // that were measured
	Value     Summary `json:"value"`
	// Limited counts the rounds in which somebody else than the contender was the limit, and
	// Limit says who.
	Limited int    `json:"limited,omitempty"`
	Limit   string `json:"limit,omitempty"`
	// Ratio is that to the reference of the same round; nil if the reference did not run.
	Ratio       *Summary           `json:"ratio,omitempty"`
	Metrics     map[string]Summary `json:"metrics,omitempty"`
	CPU         Summary            `json:"cpu"`
	Retransmits Summary            `json:"retransmits"`
	Command     string             `json:"command"` // of the last round
}

// Summarise makes rows of runs, in the order of loads, cases and contenders, and judges the
// targets. What was not measured has no row.
func Summarise(r Results, targets []Target, runs []Run) *Results {
	r.Schema = Schema
	r.Rows, r.Targets = nil, nil
	for _, load := range r.Loads {
		for _, variation := range load.Cases {
			for _, c := range r.Contenders {
				if row, ok := newRow(load, variation, c.Name, runs); ok {
					r.Rows = append(r.Rows, row)
				}
			}
		}
	}
	for _, t := range targets {
		r.Targets = append(r.Targets, t.judge(runs)...)
	}
	return &r
}

// rounds picks the runs of one contender in one case, by round.
func rounds(runs []Run, scenario, variation, contender string) map[int]Run {
	picked := make(map[int]Run)
	for _, r := range runs {
		if r.Scenario == scenario && r.Case == variation && r.Contender == contender {
			picked[r.Round] = r
		}
	}
	return picked
}

func newRow(load Load, variation, contender string, runs []Run) (Row, bool) {
	row := Row{Scenario: load.Name, Case: variation, Contender: contender, Unit: load.Unit}
	var values, ratios, cpu, retransmits []float64
	metrics := make(map[string][]float64)
	base := rounds(runs, load.Name, variation, Reference)
	own := rounds(runs, load.Name, variation, contender)
	last := 0
	for round, r := range own {
		values, cpu, retransmits = append(values, r.Value), append(cpu, r.CPU), append(retransmits, float64(r.Retransmits))
		for name, v := range r.Metrics {
			metrics[name] = append(metrics[name], v)
		}
		if r.Limit != "" {
			row.Limited, row.Limit = row.Limited+1, r.Limit
		}
		if b, ok := base[round]; ok && contender != Reference && b.Value != 0 {
			ratios = append(ratios, r.Value/b.Value)
		}
		if round > last {
			last, row.Command = round, r.Command
		}
	}
	if len(values) == 0 {
		return row, false
	}
	row.Rounds = len(values)
	row.Value, row.CPU, row.Retransmits = summary(values), summary(cpu), summary(retransmits)
	for name, v := range metrics {
		if row.Metrics == nil {
			row.Metrics = make(map[string]Summary)
		}
		row.Metrics[name] = summary(v)
	}
	if len(ratios) > 0 {
		s := summary(ratios)
		row.Ratio = &s
	}
	return row, true
}

// limited tells that the value is what somebody else allowed, in most rounds.
func (r Row) limited() bool { return 2*r.Limited > r.Rounds }

// load returns a scenario by name, without anything for one that is not known.
func (r *Results) load(name string) Load {
	for _, l := range r.Loads {
		if l.Name == name {
			return l
		}
	}
	return Load{}
}

// Row returns one row; ok is false if it was not measured.
func (r *Results) Row(scenario, variation, contender string) (row Row, ok bool) {
	for _, row := range r.Rows {
		if row.Scenario == scenario && row.Case == variation && row.Contender == contender {
			return row, true
		}
	}
	return Row{}, false
}

// Save writes the summary as NAME.json and NAME.md into a directory, where the raw data are.
func (r *Results) Save(dir string) error {
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, r.Name+".json"), append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, r.Name+".md"), []byte(r.Markdown()), 0o644)
}

// Read reads a summary that Save wrote.
func Read(file string) (*Results, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var r Results
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("%s has schema %d and this program reads %d: measure again", file, r.Schema, Schema)
	}
	return &r, nil
}
