package config

import (
	"cmp"
	"fmt"
	"io/fs"
	"strings"
)

// A Host is what of the machine a configuration is checked against.
type Host struct {
	// Interfaces are the names of the interfaces that exist.
	Interfaces []string
	// AnyInterface switches the check of interface names off.
	AnyInterface bool
	// Links are the properties of interfaces, where they are known; one that is only in Interfaces is taken for an
	// Ethernet device with addresses of both families.
	Links []Link
	// RouteNames are the names that routes and rules may have instead of numbers.
	RouteNames RouteNames
	// Users are the names of the users that scripts can run as; nil: nothing is known of them.
	Users []string
	// Groups are the names of the groups that scripts can run with; nil: nothing is known of them.
	Groups []string
	// Programs tells about files that commands begin with, by the name that Programs returns. Of those that are
	// missing here nothing is known.
	Programs map[string]Program
}

// Load parses and binds in one step and returns the findings of both, sorted together. host tells about the machine,
// once the file is known: which programs it runs, say.
func Load(fsys fs.FS, name string, opts Options, host func(*File) Host) (*Config, Diagnostics) {
	f, parsed := Parse(fsys, name, opts)
	c, bound := Bind(f, host(f))
	return c, append(parsed, bound...).sorted(f.Files)
}

// Bind gives a parsed file its meaning: it checks every word against the inventory, fills in defaults, resolves
// inheritance and falls back where keepalived does. The Config is never nil and holds what would run; the Diagnostics
// say where that differs from what is written. Bind is pure.
func Bind(f *File, host Host) (*Config, Diagnostics) {
	b := &binder{
		grammar: keywords, host: host, config: &Config{Global: standardGlobal()},
		noted: make(map[noteKey]*note), answers: make(map[noteKey]answer),
		groups: make(map[string]*vsGroup), vrrpBinder: newVRRPBinder(f),
	}
	b.globals(f)
	b.each("", f.Statements, func(k *keyword, s *Statement, vs values) {
		switch k.canonical() {
		case "global_defs": // globals
		case "virtual_server":
			b.virtualServer(s, vs)
		case "virtual_server_group":
			b.serviceGroup(s, vs)
		default:
			if !b.blockTop(k, s, vs) && !b.listTop(k, s) && !b.wordTop(k, s, vs) {
				panic(unbound("", k))
			}
		}
	})
	b.finishServices()
	b.finishVRRP()
	b.finishScripts()
	b.flushNotes()
	return b.config, b.diags.list.sorted(f.Files)
}

// unbound is what a handler panics with for a keyword that the table marks as served and the handler does not know.
func unbound(context string, k *keyword) string {
	return fmt.Sprintf("config: %q of %q is served and not bound", k.name, context)
}

// A binder walks the tree once.
type binder struct {
	grammar grammar
	host    Host
	config  *Config
	diags   findings

	context string // of the statements being walked
	quiet   bool   // inside a block that is not served: faults are reported, notes are not
	noted   map[noteKey]*note
	order   []noteKey

	dynamicInterfaces bool
	services          []*serviceDraft
	groups            map[string]*vsGroup // virtual_server_group by name
	answers           map[noteKey]answer  // of meant

	vrrpBinder
	scriptBinder
}

// each checks the statements of a block and gives those that are served to fn; fn may be nil. Words that the context
// does not know are reported and skipped with their blocks.
func (b *binder) each(context string, ss []*Statement, fn func(*keyword, *Statement, values)) {
	outer := b.context
	defer func() { b.context = outer }()
	for _, s := range ss {
		b.context = context
		if s.Broken {
			b.broken(s)
			continue
		}
		k := b.grammar.lookup(context, s.Keyword)
		if k == nil {
			b.unknown(s)
			continue
		}
		vs, ok := b.check(k, s)
		if !b.blockFits(k, s) || !ok && (k.fallback == "" || vs == nil) {
			continue
		}
		b.note(k, s)
		switch k.use {
		case served, partly, later, moot, deprecated:
			if fn != nil {
				fn(k, s, vs)
			} else {
				b.inner(k, s)
			}
		default:
			b.inner(k, s)
		}
	}
}

// broken reports a statement whose unclosed quote took the words that its keyword must have, on which keepalived exits;
// of a command, which it splits itself, it says only that.
func (b *binder) broken(s *Statement) {
	k := b.grammar.lookup(b.context, s.Keyword)
	if k == nil {
		return
	}
	if least, _ := k.arity(); len(s.Args) < least && !k.lax && !k.shell {
		b.missing(k, s, least)
	}
}

// inner checks the block of a statement that is not served, without notes.
func (b *binder) inner(k *keyword, s *Statement) {
	if s.Block == nil || k.block == lines {
		return
	}
	quiet := b.quiet
	b.quiet = true
	b.each(k.block, s.Block.Statements, nil)
	b.quiet = quiet
}

// blockFits reports a block that is missing or in a wrong place, and whether the statement can be used.
func (b *binder) blockFits(k *keyword, s *Statement) bool {
	switch {
	case k.block == "" && s.Block != nil:
		b.diags.errorf(s.Block.Open, "{", `%s takes no block; what stands in its braces is ignored`, k.name)
		return true
	case k.block != "" && s.Block == nil:
		b.diags.errorf(s.Pos, s.Keyword, `%s needs a block in braces after it; it is ignored`, title(s))
		return false
	}
	return true
}

// unknown reports a word that does not stand in this context, and says where it belongs or what was meant.
func (b *binder) unknown(s *Statement) {
	where := "at the top level"
	if b.context != "" {
		where = "in " + b.context
	}
	skipped := ""
	if s.Block != nil {
		skipped = "; its block is ignored"
	}
	if strings.HasPrefix(s.Keyword, "$") && nameLen(s.Keyword[1:]) > 0 {
		if len(s.Args) > 0 && strings.HasPrefix(s.Args[0].Text, "=") {
			b.diags.errorf(s.Pos, s.Keyword, `%s is not defined here: no blank may stand before "="`, s.Keyword)
		} else {
			b.diags.errorf(s.Pos, s.Keyword, "%s is not defined%s", s.Keyword, skipped)
		}
		return
	}
	if strings.HasPrefix(s.Keyword, "include") && len(s.Args) == 0 && s.Block == nil {
		b.diags.errorf(s.Pos, s.Keyword, "%s needs the name of a file after it", s.Keyword)
		return
	}
	near, home, elsewhere := b.meant(s.Keyword)
	switch {
	case near == "" && elsewhere:
		b.diags.errorf(s.Pos, s.Keyword, "%q is not a keyword %s: it belongs %s%s", s.Keyword, where, home, skipped)
	default:
		b.diags.errorf(s.Pos, s.Keyword, "%q is not a keyword %s%s", s.Keyword, where, skipped).suggest(near)
	}
}

// meant finds a near word of this context, and the context where the word itself belongs. Answers are kept: a loop may
// ask for the same word many times.
func (b *binder) meant(word string) (near, home string, elsewhere bool) {
	key := noteKey{b.context, word}
	a, known := b.answers[key]
	if !known {
		a.near = suggest(word, b.grammar.names(b.context))
		a.home, a.elsewhere = b.home(word)
		b.answers[key] = a
	}
	return a.near, a.home, a.elsewhere
}

// home finds the context of a word that stands in the wrong place. The top level comes first, then the contexts in
// the order of their keywords.
func (b *binder) home(word string) (where string, ok bool) {
	if b.grammar.lookup("", word) != nil {
		return `at the top level (is a "}" missing above?)`, true
	}
	best := ""
	for context := range b.grammar {
		if b.grammar.lookup(context, word) != nil && (best == "" || context < best) {
			best = context
		}
	}
	return "in " + best, best != ""
}

// An answer is what meant found out about a word.
type answer struct {
	near, home string
	elsewhere  bool
}

// noteKey names a word in a context.
type noteKey struct{ context, word string }

// A note gathers all places of a word, so that each word is named once.
type note struct {
	keyword *keyword
	places  []Pos
}

// note remembers a word that is not served, or deprecated.
func (b *binder) note(k *keyword, s *Statement) {
	if b.quiet || k.use == served || k.use == checked {
		return
	}
	key := noteKey{b.context, k.name}
	n := b.noted[key]
	if n == nil {
		n = &note{keyword: k}
		b.noted[key] = n
		b.order = append(b.order, key)
	}
	n.places = append(n.places, s.Pos)
}

// flushNotes turns the remembered words into diagnostics at their first places.
func (b *binder) flushNotes() {
	for _, key := range b.order {
		n := b.noted[key]
		var msg string
		switch n.keyword.use {
		case inert, moot:
			msg = fmt.Sprintf("%s is accepted and ignored: %s", key.word, n.keyword.why)
		case partly:
			msg = fmt.Sprintf("%s is served in part: %s", key.word, n.keyword.why)
		case deprecated:
			msg = fmt.Sprintf("%s is deprecated: write %s", key.word, cmp.Or(n.keyword.as, n.keyword.why))
		default:
			msg = fmt.Sprintf("%s is not served yet: %s", key.word, unservedWhy(n.keyword))
		}
		d := b.diags.notef(n.places[0], key.word, "%s%s", msg, also(n.places))
		if n.keyword.fault {
			d.exit(ExitFaults)
		}
	}
}

// unservedWhy says what becomes of a word that is not served.
func unservedWhy(k *keyword) string {
	switch {
	case k.why != "":
		return k.why
	case k.block != "":
		return "the block is ignored"
	}
	return "it is ignored"
}

// also names the further places of a note, the first few of them.
func also(places []Pos) string {
	const most = 4
	if len(places) < 2 {
		return ""
	}
	var at []string
	for i, p := range places[1:] {
		if i == most {
			at = append(at, fmt.Sprintf("and %d more", len(places)-1-most))
			break
		}
		at = append(at, p.from(places[0]))
	}
	return " (also " + strings.Join(at, ", ") + ")"
}

// globals binds global_defs, which counts for all of the file wherever it stands: first the words that change how
// others are checked.
func (b *binder) globals(f *File) {
	b.defaults = standardDefaults()
	var blocks []*Statement
	for _, s := range f.Statements {
		if s.Keyword != "global_defs" || s.Block == nil || s.Broken {
			continue
		}
		blocks = append(blocks, s)
		for _, g := range s.Block.Statements {
			b.scriptGlobals(g)
			switch g.Keyword {
			case "dynamic_interfaces":
				b.dynamicInterfaces = true
			case "vrrp_strict":
				b.defaults.strict = true
			case "vrrp_version":
				if len(g.Args) > 0 && g.Args[0].Text == "3" {
					b.defaults.version = 3
				}
			}
		}
	}
	for _, s := range blocks {
		b.globalDefs(s)
	}
	b.finishGlobals()
}
