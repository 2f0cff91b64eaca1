#!/usr/bin/env bash
# fuzz.sh runs every fuzz target of the module for the given time, one after the other:
#	scripts/fuzz.sh 60s
set -eu
time="$1"
go list -f '{{.Dir}}' ./... | while read -r dir; do
	# Targets behind a build tag are found too: they fail here rather than go unnoticed.
	for target in $(cat /dev/null "$dir"/*_test.go 2>/dev/null | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p'); do
		echo "fuzz $dir $target for $time"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$dir"
	done
done
