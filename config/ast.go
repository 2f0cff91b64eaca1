package config

// A File is a parsed configuration: one main file and all it includes, with comments, includes, definitions and loops
// resolved, and no keyword looked at. It is immutable after Parse and safe for use by many goroutines.
type File struct {
	// Name is the main file as given to Parse.
	Name string
	// Files are the names of all files read, in the order of their first use, as they stand in positions.
	Files []string
	// Statements are the top level.
	Statements []*Statement
}

// A Statement is one keyword, the words after it on its line, and the block that follows, if any.
type Statement struct {
	Pos
	// Keyword is the first word.
	Keyword string
	// Args are the words after it, with quotes removed.
	Args []Word
	// Block is what stands in braces after the words, nil without braces.
	Block *Block
	// Broken statements had a fault that is reported already (an unclosed quote); their words are not complete.
	Broken bool
}

// A Word is one word of a statement after the keyword.
type Word struct {
	Pos
	// Text is the word without its quotes.
	Text string
	// Quoted tells "a b" or "" from a bare word.
	Quoted bool
}

// A Block is the content of a pair of braces.
type Block struct {
	// Open is the opening brace; Close the closing one, with Line 0 if it is missing.
	Open, Close Pos
	Statements  []*Statement

	// firstOnLine reports whether the closing brace is the first of its line, as far as layout can tell.
	firstOnLine bool
}
