package config

import "time"

// A tier says how common a word is in real configurations: A in almost every one, B common, C rare, N a property of
// keepalived's own processes or of the kernel's IPVS, which has no meaning here.
type tier byte

// A use says what this program does with a word.
type use uint8

const (
	unserved   use = iota // known to keepalived, not acted on yet: a note says so
	served                // bound into the model
	partly                // bound, with a note that says what is still missing
	later                 // bound, and not acted on yet: a note says so
	checked               // looked at for faults only; its block's note covers it
	inert                 // tier N: accepted, noted once, ignored for good
	moot                  // bound, so that faults are found, and ignored for good, as inert
	deprecated            // served, with a note that names the word to use instead
)

// A keyword is one row of the inventory: a word, what may follow it, and what we do with it.
type keyword struct {
	name  string
	tier  tier
	use   use
	args  []arg
	block string // context of the block that must follow; "" if none may
	// as is the canonical word of a synonym or deprecated word.
	as string
	// why completes the note of a word that is not served, and tells the list of words what is worth knowing of others.
	why string
	// shell words are quoted as in a shell.
	shell bool
	// lax words may lack their parameter: keepalived says so and goes on, where it exits otherwise.
	lax bool
	// exact words are at fault with more words than they take; after others those are dropped in silence.
	exact bool
	// fault words are reported by `keepalived -t` though they have their effect: some of the deprecated ones.
	fault bool
	// fallback says what a value that cannot be used sets nevertheless ("100 is used"): the handler is called then, too,
	// with that value unset.
	fallback string
}

// canonical returns the name that handlers know.
func (k *keyword) canonical() string {
	if k.as != "" {
		return k.as
	}
	return k.name
}

// lines is the context of blocks whose lines are data (addresses, names), not keywords.
const lines = "lines"

// scriptKeywords returns the words whose arguments are quoted as in a shell.
func scriptKeywords() map[string]bool {
	m := make(map[string]bool)
	for _, ks := range keywords {
		for i := range ks {
			if ks[i].shell {
				m[ks[i].name] = true
			}
		}
	}
	return m
}

// A grammar is an inventory of words: context → words. A context is the keyword of a block; "" is the top level.
type grammar map[string][]keyword

// lookup finds a word in a context, nil if it does not stand there.
func (g grammar) lookup(context, word string) *keyword {
	ks := g[context]
	for i := range ks {
		if ks[i].name == word {
			return &ks[i]
		}
	}
	return nil
}

// names lists the words of a context.
func (g grammar) names(context string) []string {
	ks := g[context]
	out := make([]string, len(ks))
	for i := range ks {
		out[i] = ks[i].name
	}
	return out
}

// An argKind is the type of one word after a keyword.
type argKind uint8

const (
	argText   argKind = iota // any word
	argNumber                // whole number from min to max
	argSigned                // the same, a sign is allowed
	argTimer                 // decimal seconds, at most 6 decimals
	argBool                  // on off true false yes no
	argEnum                  // one of words
	argAddr                  // an IPv4 or IPv6 address
	argLink                  // the name of an interface
	argRest                  // any number of further words, the keyword's own business
)

// An arg describes one word after a keyword.
type arg struct {
	kind     argKind
	optional bool
	fold     bool // argEnum: letter case does not matter
	min, max int64
	words    []string
}

const (
	maxUint32 = 1<<32 - 1
	maxInt32  = 1<<31 - 1
	longest   = int64(time.Duration(1<<63 - 1))
)

func num(lo, hi int64) arg           { return arg{kind: argNumber, min: lo, max: hi} }
func signed(lo, hi int64) arg        { return arg{kind: argSigned, min: lo, max: hi} }
func timer(lo, hi time.Duration) arg { return arg{kind: argTimer, min: int64(lo), max: int64(hi)} }
func enum(words ...string) arg       { return arg{kind: argEnum, words: words} }
func enumFold(words ...string) arg   { return arg{kind: argEnum, words: words, fold: true} }
func opt(a arg) arg                  { a.optional = true; return a }
func one(as ...arg) []arg            { return as }

// word groups that many keywords share; functions, so that no row can change another's.
func onOff() []arg { return []arg{opt(arg{kind: argBool})} }
func str() []arg   { return []arg{{kind: argText}} }
func rest() []arg  { return []arg{{kind: argRest, optional: true}} }
func some() []arg  { return []arg{{kind: argText}, {kind: argRest, optional: true}} }
func addr() []arg  { return []arg{{kind: argAddr}} }
func link() []arg  { return []arg{{kind: argLink}} }
func posTimer() []arg {
	return []arg{timer(time.Microsecond, time.Duration(longest))}
}
func anyTimer() []arg { return []arg{timer(0, time.Duration(longest))} }

// arity returns how many words a keyword must have and may have; most is -1 without a bound.
func (k *keyword) arity() (least, most int) {
	for _, a := range k.args {
		if a.kind == argRest {
			return least, -1
		}
		most++
		if !a.optional {
			least++
		}
	}
	return least, most
}
