package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
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

// A portList is a flag that takes ports with commas between, as many as the kernel's helper
// does (IP_VS_APP_MAX_PORTS), or none.
type portList []uint16

const mostPorts = 8

// String writes the value as Set takes it.
func (p *portList) String() string {
	if len(*p) == 0 {
		return "none"
	}
	words := make([]string, len(*p))
	for i, port := range *p {
		words[i] = strconv.Itoa(int(port))
	}
	return strings.Join(words, ",")
}

// Type is the word in the help.
func (p *portList) Type() string { return "PORTS" }

// Set takes the ports in decimal.
func (p *portList) Set(text string) error {
	if text == "none" {
		*p = nil
		return nil
	}
	words := strings.Split(text, ",")
	if len(words) > mostPorts {
		return fmt.Errorf("want up to %d ports, such as 21,2121, or none", mostPorts)
	}
	list := make(portList, len(words))
	for i, w := range words {
		n, err := strconv.ParseUint(w, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("%q is no port from 1 to 65535; want up to %d of them, such as 21,2121, or none", w, mostPorts)
		}
		list[i] = uint16(n)
	}
	*p = list
	return nil
}

// A span is a flag that takes a time from 0 to most, such as 5s or 300ms.
type span struct{ value, most time.Duration }

func (s *span) String() string { return s.value.String() }
func (s *span) Type() string   { return "TIME" }

// Set takes a number with its unit, or 0.
func (s *span) Set(text string) error {
	v, err := time.ParseDuration(text)
	if err != nil || v < 0 || v > s.most {
		return fmt.Errorf("want a time from 0 to %s with its unit, such as 5s or 300ms", s.most)
	}
	s.value = v
	return nil
}

// A size is a flag that takes an amount of memory: 0, or least to 1 TiB.
type size struct {
	value uint64 // bytes
	least uint64
}

// sizeMost bounds a size: more is a slip of the finger.
const sizeMost = 1 << 40

// String writes the value as Set takes it.
func (s *size) String() string {
	for _, u := range sizeUnits() {
		if s.value != 0 && s.value%u.bytes == 0 {
			return strconv.FormatUint(s.value/u.bytes, 10) + u.letter
		}
	}
	return strconv.FormatUint(s.value, 10)
}

// Type is the word in the help.
func (s *size) Type() string { return "SIZE" }

// Set takes a whole number with K, M or G behind it, or of bytes. The unit may be spelled
// out: 64M, 64MiB and 67108864 are the same.
func (s *size) Set(text string) error {
	digits, unit := cutUnit(text)
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > sizeMost/unit || n*unit != 0 && n*unit < s.least {
		return fmt.Errorf("want 0, or a size from %s to %s, such as 64M", &size{value: s.least}, &size{value: sizeMost})
	}
	s.value = n * unit
	return nil
}

// cutUnit takes the unit off a size.
func cutUnit(text string) (digits string, unit uint64) {
	upper := strings.ToUpper(text)
	for _, u := range sizeUnits() {
		for _, suffix := range []string{u.letter + "IB", u.letter} {
			if rest, ok := strings.CutSuffix(upper, suffix); ok {
				return rest, u.bytes
			}
		}
	}
	return text, 1
}

type sizeUnit struct {
	letter string
	bytes  uint64
}

// sizeUnits lists the units, the largest first.
func sizeUnits() []sizeUnit { return []sizeUnit{{"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}} }
