// Package config reads the keepalived.conf language.
//
// The way of a file: reader (lines, comments, includes, definitions, loops) → Parse (words and blocks, a [File]) →
// Bind (the keyword table, value checks, defaults and inheritance, a [Config]). Nothing is opened but files, through
// an fs.FS; everything else that a configuration depends on (interfaces, environment, configuration id) is given as
// a value. All problems of a file are reported in one pass as [Diagnostics]; a file with errors still gives the model
// that keepalived would have run.
//
// The language is the one of keepalived 2.2.7 and later, keepalived.conf(5). A word of it that this package knows but
// the product does not serve yet is named by a note and never silently dropped.
package config
