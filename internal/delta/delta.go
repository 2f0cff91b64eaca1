// Package delta says in words where two values of one type differ, for people who want to know
// what a change of a configuration comes to.
package delta

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// A Rule says what of a type is looked at, by names of fields at any depth.
type Rule struct {
	Skip   []string // counts for nothing
	Secret []string // that it changed is said, never what it was and is
}

// Fields lists the fields in which two structs of one type differ, each as "advert interval
// 1s → 2s"; of what is no single word, that it changed. Only exported fields count. It returns
// nil if there are none, and panics if the types differ.
func (r Rule) Fields(before, after any) (list []string) {
	a, b := reflect.ValueOf(before), reflect.ValueOf(after)
	if a.Type() != b.Type() || a.Kind() != reflect.Struct {
		panic(fmt.Sprintf("delta: %T and %T are not two structs of one type", before, after))
	}
	for i := range a.NumField() {
		f := a.Type().Field(i)
		if !f.IsExported() || slices.Contains(r.Skip, f.Name) || r.same(a.Field(i), b.Field(i)) {
			continue
		}
		name := words(f.Name)
		old, known := word(a.Field(i))
		now, also := word(b.Field(i))
		switch {
		case slices.Contains(r.Secret, f.Name) || !known || !also:
			list = append(list, name+" changed")
		default:
			list = append(list, fmt.Sprintf("%s %s → %s", name, old, now))
		}
	}
	return list
}

// Same reports whether two values of one type have no difference that counts.
func (r Rule) Same(before, after any) bool {
	return r.same(reflect.ValueOf(before), reflect.ValueOf(after))
}

// same is Same for values that may lie in fields.
func (r Rule) same(a, b reflect.Value) bool {
	if a.IsValid() != b.IsValid() || a.IsValid() && a.Type() != b.Type() {
		return false
	}
	switch a.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return r.same(a.Elem(), b.Elem())
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !r.same(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Map:
		if a.Len() != b.Len() {
			return false
		}
		for _, k := range a.MapKeys() {
			if x := b.MapIndex(k); !x.IsValid() || !r.same(a.MapIndex(k), x) {
				return false
			}
		}
		return true
	case reflect.Func, reflect.Chan:
		return a.Pointer() == b.Pointer()
	case reflect.Struct:
		if opaque(a.Type()) {
			return a.Comparable() && b.Comparable() && a.Equal(b)
		}
		for i := range a.NumField() {
			f := a.Type().Field(i)
			if f.IsExported() && !slices.Contains(r.Skip, f.Name) && !r.same(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	}
	return a.Equal(b)
}

// opaque reports whether a struct shows nothing of itself, as addresses do not.
func opaque(t reflect.Type) bool {
	for i := range t.NumField() {
		if t.Field(i).IsExported() {
			return false
		}
	}
	return true
}

// word is a value that is a single word, or a list of such.
func word(v reflect.Value) (string, bool) {
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.String {
		return fmt.Sprint(v.Interface()), true
	}
	if s, ok := v.Interface().(fmt.Stringer); ok && v.Kind() != reflect.Pointer && v.Kind() != reflect.Interface {
		return orNone(s.String()), true
	}
	switch v.Kind() {
	case reflect.String:
		return orNone(v.String()), true
	case reflect.Bool:
		if v.Bool() {
			return "on", true
		}
		return "off", true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float64:
		return fmt.Sprint(v.Interface()), true
	}
	return "", false
}

func orNone(s string) string {
	if s == "" || strings.HasPrefix(s, "invalid ") { // an address that is none
		return "none"
	}
	return s
}

// words makes "advert interval" of "AdvertInterval", and leaves "VRID" in one piece.
func words(name string) string {
	var b strings.Builder
	runes := []rune(strings.ReplaceAll(name, "IPv", "IPV")) // else its v ends the acronym
	for i, r := range runes {
		begins := i > 0 && unicode.IsUpper(r) && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1]))
		if begins {
			b.WriteByte(' ')
		}
		alone := unicode.IsUpper(r) && (i+1 < len(runes) && unicode.IsUpper(runes[i+1]) || i > 0 && unicode.IsUpper(runes[i-1]) && !begins)
		if alone {
			b.WriteRune(r)
			continue
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return strings.ReplaceAll(b.String(), "IPV", "IPv")
}
