package main

import (
	"strings"
	"testing"
)

func TestGate(t *testing.T) {
	const pass = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"a word\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p"}
`
	const skip = pass + `{"Action":"output","Package":"p","Test":"TestS","Output":"=== RUN   TestS\n"}
{"Action":"output","Package":"p","Test":"TestS","Output":"    x_test.go:3: needs a moon\n"}
{"Action":"output","Package":"p","Test":"TestS","Output":"--- SKIP: TestS (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestS"}
`
	for _, tc := range []struct {
		name   string
		input  string
		lax    bool
		allow  []exception
		want   bool
		output string // the whole of it
	}{
		{
			name: "all pass", input: pass, want: true,
			output: "ok  \tp\t0.1s\n1 passed, 0 failed, 0 skipped\n",
		},
		{
			name: "nothing ran", input: `{"Action":"output","Package":"p","Output":"?   \tp\t[no test files]\n"}` + "\n" + `{"Action":"skip","Package":"p"}`,
			output: "?   \tp\t[no test files]\n0 passed, 0 failed, 0 skipped\nFAIL: no test ran\n",
		},
		{
			name: "empty input", input: "",
			output: "0 passed, 0 failed, 0 skipped\nFAIL: no test ran\n",
		},
		{
			name: "skip as root", input: skip,
			output: "ok  \tp\t0.1s\nFAIL: skipped: p TestS: x_test.go:3: needs a moon\n1 passed, 0 failed, 1 skipped\n",
		},
		{
			name: "skip without root", input: skip, lax: true, want: true,
			output: "ok  \tp\t0.1s\nskipped: p TestS: x_test.go:3: needs a moon\n1 passed, 0 failed, 1 skipped\n",
		},
		{
			name: "allowed skip", input: skip, want: true, allow: []exception{{"p", "TestS", "no moon here"}},
			output: "ok  \tp\t0.1s\nskips that are allowed:\n  p TestS: no moon here\n" +
				"skipped, allowed: p TestS: x_test.go:3: needs a moon\n1 passed, 0 failed, 1 skipped\n",
		},
		{
			name: "skip allowed elsewhere", input: skip, allow: []exception{{"q", "TestS", "no moon here"}},
			output: "ok  \tp\t0.1s\nskips that are allowed:\n  q TestS: no moon here\n" +
				"FAIL: skipped: p TestS: x_test.go:3: needs a moon\n1 passed, 0 failed, 1 skipped\n",
		},
		{
			name: "failing test",
			input: `{"Action":"output","Package":"p","Test":"TestF","Output":"    f_test.go:1: got 1\n"}
{"Action":"fail","Package":"p","Test":"TestF"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}
`,
			output: "    f_test.go:1: got 1\nFAIL\tp\t0.1s\n0 passed, 2 failed, 0 skipped\n",
		},
		{
			name: "test process that died",
			input: `{"Action":"output","Package":"p","Test":"TestF","Output":"panic: oops\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}
`,
			output: "panic: oops\nFAIL\tp\t0.1s\n0 passed, 1 failed, 0 skipped\n",
		},
		{
			name: "build failure",
			input: `go: downloading something
{"ImportPath":"p","Action":"build-output","Output":"p.go:1: syntax error\n"}
{"ImportPath":"p","Action":"build-fail"}
` + pass,
			output: "go: downloading something\np.go:1: syntax error\nok  \tp\t0.1s\n1 passed, 1 failed, 0 skipped\n",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out strings.Builder
			g := newGate(&out, !tc.lax, tc.allow)
			if err := g.read(strings.NewReader(tc.input)); err != nil {
				t.Fatal(err)
			}
			if got := g.verdict(); got != tc.want {
				t.Errorf("verdict = %t, want %t", got, tc.want)
			}
			if out.String() != tc.output {
				t.Errorf("output:\n%s\nwant:\n%s", out.String(), tc.output)
			}
		})
	}
}
