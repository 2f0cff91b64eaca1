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
	Args    []Argument
	Block   string // the context that it opens, "" if none; Lines if the lines in it are data
}

// Lines is the Block of keywords whose block holds data, not keywords: addresses, names, routes.
const Lines = lines

// An Argument describes one word after a keyword.
type Argument struct {
	// Kind is text, number, signed, seconds, boolean, choice, address, interface, or rest for any number of words.
	Kind     string
	Optional bool
	// Min and Max bound a number; those of seconds are in nanoseconds.
	Min, Max int64
	Words    []string // of a choice
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
			row := Keyword{Context: c, Name: k.name, Tier: byte(k.tier), State: Served, Note: k.why, Args: arguments(k.args), Block: k.block}
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

func arguments(as []arg) []Argument {
	kinds := [...]string{
		argText: "text", argNumber: "number", argSigned: "signed", argTimer: "seconds", argBool: "boolean",
		argEnum: "choice", argAddr: "address", argLink: "interface", argRest: "rest",
	}
	out := make([]Argument, len(as))
	for i, a := range as {
		out[i] = Argument{Kind: kinds[a.kind], Optional: a.optional, Min: a.min, Max: a.max, Words: slices.Clone(a.words)}
	}
	return out
}
