package config

import "slices"

// A State says what becomes of a keyword.
type State string

// The states.
const (
	Served    State = "served"
	InPart    State = "served in part"
	NotServed State = "not served" // the file is read, and a note says what is missing
	Ignored   State = "accepted"   // for good: it has no meaning here, and a note says why
)

// A Keyword is a row of the inventory: a word of keepalived.conf(5), or of the extra file.
type Keyword struct {
	Context string // the block where it stands; "" is the top level
	Name    string
	Tier    byte // A in almost every configuration, B common, C rare, N of keepalived's own processes; 0 in the extra file
	State   State
	Note    string // why, or what to write instead
}

// Inventory lists the words of keepalived.conf that the parser knows, by context and in the order
// of its table.
func Inventory() []Keyword { return keywords.inventory() }

// ExtraInventory lists those of the extra file.
func ExtraInventory() []Keyword { return extraKeywords().inventory() }

func (g grammar) inventory() (list []Keyword) {
	contexts := make([]string, 0, len(g))
	for c := range g {
		contexts = append(contexts, c)
	}
	slices.Sort(contexts)
	for _, c := range contexts {
		for _, k := range g[c] {
			row := Keyword{Context: c, Name: k.name, Tier: byte(k.tier), State: Served, Note: k.why}
			switch k.use {
			case partly:
				row.State = InPart
			case later, unserved:
				row.State, row.Note = NotServed, unservedWhy(&k)
			case inert, moot:
				row.State = Ignored
			case deprecated:
				row.Note = "deprecated: write " + k.as
				if k.as == "" {
					row.Note = "deprecated: " + k.why
				}
			}
			list = append(list, row)
		}
	}
	return list
}
