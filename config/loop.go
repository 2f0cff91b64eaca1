package config

import (
	"strconv"
	"strings"
)

// isLoop recognises a line that repeats itself: ~SEQ(...) rest or ~LST(...) rest.
func isLoop(s string) bool {
	return strings.HasPrefix(s, "~SEQ") || strings.HasPrefix(s, "~LST")
}

// loop runs the rest of the line once for each value of its variables. The variables stay defined afterwards, as in
// keepalived.
func (r *reader) loop(t text) {
	open := strings.IndexByte(t.s, '(')
	end := strings.IndexByte(t.s, ')')
	if open < 0 || end < open {
		r.diags.errorf(t.pos(0), t.s, "%s needs (variable, values) in parentheses before the text to repeat", t.s[:4])
		return
	}
	word := strings.TrimRight(t.s[:open], blanks)
	if word != "~SEQ" && word != "~SEQx" && word != "~LST" {
		d := r.diags.errorf(t.pos(0), word, "%q is not a loop (have: ~LST, ~SEQ, ~SEQx)", word)
		d.suggest(suggest(word, []string{"~LST", "~SEQ", "~SEQx"}))
		return
	}
	params, ok := r.expand(t.slice(open+1, end), nil)
	if !ok {
		return
	}
	body := t.slice(end+1, len(t.s)).trim()
	if word == "~LST" {
		r.list(t, params, body)
		return
	}
	r.sequence(t, params, body, word == "~SEQx")
}

// sequence runs ~SEQ(var, [start, [step,]] end). Default start is 1, or -1 when the end is negative; default step
// leads from start to end.
func (r *reader) sequence(t, params, body text, hex bool) {
	fields := strings.Split(params.s, ",")
	for i := range fields {
		fields[i] = strings.Trim(fields[i], blanks)
	}
	name := fields[0]
	if nameLen(name) != len(name) || name == "" || len(fields) < 2 || len(fields) > 4 {
		r.diags.errorf(t.pos(0), params.s, "~SEQ(%s) is not (variable, [start, [step,]] end)", params.s)
		return
	}
	var n [3]int64
	for i, f := range fields[1:] {
		v, err := strconv.ParseInt(f, 0, 32)
		if err != nil {
			r.diags.errorf(t.pos(0), f, "~SEQ value %q is not a whole number", f)
			return
		}
		n[i] = v
	}
	start, step, end := int64(1), int64(1), n[len(fields)-2]
	if end < 0 {
		start = -1
	}
	if len(fields) > 2 {
		start = n[0]
	}
	if end < start {
		step = -1
	}
	if len(fields) == 4 {
		step = n[1]
	}
	if step == 0 || (end-start)*step < 0 {
		r.diags.errorf(t.pos(0), params.s, "~SEQ(%s) never reaches its end: the step is %d", params.s, step)
		return
	}
	if count := (end-start)/step + 1; count > int64(r.opts.MaxLines) {
		r.diags.errorf(t.pos(0), params.s, "~SEQ(%s) repeats %d times; a configuration has at most %d lines", params.s, count, r.opts.MaxLines)
		return
	}
	base := 10
	if hex {
		base = 16
	}
	for v := start; (end-v)*step >= 0 && r.spend(t.pos(0)); v += step {
		r.defs[name] = definition{lines: []string{strconv.FormatInt(v, base)}}
		r.line(body)
	}
}

// list runs ~LST(var, v1, v2) or ~LST({a,b}, {1,2}, {3,4}). Missing values are empty.
func (r *reader) list(t, params, body text) {
	if strings.ContainsAny(params.s, "\"'") {
		r.diags.errorf(t.pos(0), params.s, "~LST(%s): values cannot be quoted", params.s)
		return
	}
	groups, ok := splitGroups(params.s)
	if !ok || len(groups) < 2 {
		r.diags.errorf(t.pos(0), params.s, "~LST(%s) is not (variable, value, ...) or ({variables}, {values}, ...)", params.s)
		return
	}
	names := groups[0]
	for _, name := range names {
		if nameLen(name) != len(name) || name == "" {
			r.diags.errorf(t.pos(0), name, "~LST variable %q is not a name of letters, digits and _", name)
			return
		}
	}
	for _, values := range groups[1:] {
		if len(values) > len(names) {
			r.diags.errorf(t.pos(0), params.s, "~LST(%s) has more values (%d) than variables (%d)", params.s, len(values), len(names))
			return
		}
		for _, value := range values {
			if strings.ContainsAny(value, blanks) {
				r.diags.errorf(t.pos(0), value, "~LST value %q is more than one word; the line is ignored", value)
				return
			}
		}
	}
	for _, values := range groups[1:] {
		if !r.spend(t.pos(0)) {
			return
		}
		for i, name := range names {
			value := ""
			if i < len(values) {
				value = values[i]
			}
			r.defs[name] = definition{lines: []string{value}}
		}
		r.line(body)
	}
}

// splitGroups splits "a, {b, c}, d" into [[a] [b c] [d]].
func splitGroups(s string) (groups [][]string, ok bool) {
	for {
		s = strings.Trim(s, blanks)
		if strings.HasPrefix(s, "{") {
			end := strings.IndexByte(s, '}')
			if end < 0 {
				return nil, false
			}
			group := strings.Split(s[1:end], ",")
			for i := range group {
				group[i] = strings.Trim(group[i], blanks)
			}
			groups = append(groups, group)
			s = strings.TrimLeft(s[end+1:], blanks)
			if s != "" && s[0] != ',' {
				return nil, false
			}
		} else {
			end := strings.IndexByte(s+",", ',')
			groups = append(groups, []string{strings.Trim(s[:end], blanks)})
			s = s[end:]
		}
		if s == "" {
			return groups, true
		}
		s = s[1:] // the comma
	}
}
