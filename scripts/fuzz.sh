#!/usr/bin/env bash
# fuzz.sh runs every fuzz target of the module for the given time, one after the other:
#	scripts/fuzz.sh 60s
# An input that reaches new code is made smaller for 5 s at the most, not for 60: that time
# counts, and finds nothing.
set -eu -o pipefail
time="$1"
go list -f '{{range .TestGoFiles}}{{$.Dir}} {{.}}
{{end}}{{range .XTestGoFiles}}{{$.Dir}} {{.}}
{{end}}' ./... | while read -r dir file; do
	[ -n "$file" ] || continue
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$dir/$file"); do
		echo "fuzz $dir $target for $time"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 5s "$dir"
	done
done
