package ipvsadmtest_test

import (
	"testing"

	"uvs/control/ipvsadm/ipvsadmtest"
)

func TestTranscriptRoundTrip(t *testing.T) {
	const text = `# a comment

== a case
~ local 192.0.2.1
+ TCP CB007105
$ -A -t 'a b' ''
< one
<
<| three\tand a blank ` + `
- ours
> out with a blank ` + `
>
! wrong
? 2
% ip_vs
> title
`
	tr, err := ipvsadmtest.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := tr.String(); got != text {
		t.Errorf("got\n%s", got)
	}
	if tr[5].Stdin != "one\n\nthree\tand a blank " || tr[5].Real.Stdout != "out with a blank \n\n" || tr[5].Real.Status != 2 {
		t.Errorf("got %+v", tr[5])
	}
	for _, bad := range []string{"> no command", "$ -L\n? x", "$ -L\nwhat"} {
		if _, err := ipvsadmtest.Parse(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
