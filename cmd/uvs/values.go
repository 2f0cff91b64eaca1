package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A choice is a flag that takes one of some words.
type choice struct {
	value string
	words []string
}

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return strings.Join(c.words, "|") }

// Set takes one of the words.
func (c *choice) Set(text string) error {
	if !slices.Contains(c.words, text) {
		return fmt.Errorf("want one of %s", strings.Join(c.words, ", "))
	}
	c.value = text
	return nil
}

// A number is a flag that takes a whole number from 0 to max.
type number struct{ value, max int }

func (n *number) String() string { return strconv.Itoa(n.value) }
func (n *number) Type() string   { return "N" }

// Set takes the number in decimal.
func (n *number) Set(text string) error {
	v, err := strconv.Atoi(text)
	if err != nil || v < 0 || v > n.max {
		return fmt.Errorf("want a whole number from 0 to %d", n.max)
	}
	n.value = v
	return nil
}
