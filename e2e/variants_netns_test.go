//go:build netns

package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

var (
	variantFiles = flag.Int("files", 500, "how many configurations TestVariantsAsKeepalived makes up")
	variantSeed  = flag.Uint64("seed", 1, "what it makes them up from")
)

// class is what scripts make of an exit status of -t.
func class(status int) string {
	switch status {
	case 0:
		return "fine"
	case 5, 6:
		return "reported"
	}
	return "refused"
}

// keepalivedVerdict is verdict for keepalived itself. ok is false if it crashed, or fell into
// an endless loop, as 2.2.7 does on some files.
func keepalivedVerdict(t *testing.T, h *netlab.Host, args ...string) (status int, said string, ok bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	out, err := h.Run(ctx, "keepalived", args...)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, out, true
	case ctx.Err() != nil:
		return 0, "it did not end", false
	case errors.As(err, &exit):
		return exit.ExitCode(), out, exit.ExitCode() >= 0
	}
	t.Fatal(err)
	return 0, "", false
}

// A difference is a class of configurations that the two judge otherwise, for good.
type difference struct {
	why string
	// uvs and keepalived are found in what they say, and text in the configuration. nil is found in all.
	uvs, keepalived, text *regexp.Regexp
}

func (d *difference) covers(text, uvs, keepalived string) bool {
	found := func(re *regexp.Regexp, s string) bool { return re == nil || re.MatchString(s) }
	return found(d.text, text) && found(d.uvs, uvs) && found(d.keepalived, keepalived)
}

// differences lists them all.
func differences() []difference {
	re := regexp.MustCompile
	return []difference{
		{"keepalived reads on inside a block that it does not know, and takes its closing brace for that of the block around it",
			nil, re(`Unexpected '\{'`), nil},
		{"keepalived drops a line with a broken loop without a word",
			re(`~SEQ|\} is not defined; the line is ignored`), nil, nil},
		{"keepalived 2.2.7 as Debian builds it does not know words of later versions and other builds, and one that only the manual has (dynamic)",
			nil, re(`Unknown keyword '(dynamic|iproute_(usr|etc)_dir|(json|state|stats)_dump_file(_location)?|json_version|multihop|no_virtual_ipaddress|` +
				`owner_ignore_adverts|sni_name|snmp_[vr]s_stats_update_interval|thread_timer_expired|timer_expired_backup|tls_compliant|v3_checksum_as_v2|` +
				`vrrp_delay_after_boot|vrrp_ipsets|vrrp_iptables|dbus_no_interface_name|use_symlink_paths|set_supplementary_groups|auth_hmac|` +
				`vrrp_owner_ignore_adverts|reload_(repeat|time_file|file)|data_use_instance|include_check|namespace_with_ipsets)'`), nil},
		{"later versions take fractions of seconds for vrrp_script, and so do we",
			nil, re(`vrrp script (interval|timeout) '\d+\.\d+'`), nil},
		{"keepalived takes an empty word for the number 0: a server of that weight would get nothing",
			re(`"" is not a (whole )?number`), nil, nil},
		{"keepalived reads a second list of a group's members as keywords",
			nil, re(`Group list already specified`), nil},
		{"keepalived takes a backslash that a definition ends with for part of its last word, and a definition inside a definition for another",
			nil, nil, re(`(?m)\$RS= \\\n\$RS= \\|connect_timeout 2 \\\n *[^} ]|\$RS\n[^\n]*\\$|\\\n *\$RS`)},
		{"an empty word is none: what follows it does not replace anything",
			nil, re(`already specified - replacing`), re(`""`)},
		{"keepalived joins the lines that a block without its brace left over to those of the next",
			re(`has a quote that is not closed`), re(`Missing '\{' at beginning of configuration block`), nil},
		{"Debian builds keepalived without iptables",
			nil, re(`iptables not supported`), nil},
		{"a block that lost its brace, or has one too many: where it ends is guessed, and the two guess otherwise",
			re(`one "\}" too many|needs a block in braces|is not closed|has a quote`), nil, nil},
		{"a line that stands among the interfaces by mistake is reported word by word, and not by the number of its words",
			re(`a line of interfaces takes no block`), nil, nil},
		{"keepalived takes seven zeros in a row for an empty label of a name",
			nil, re(`DNS_CHECK name '[\d.]+' has empty label`), nil},
		{"keepalived drops a script with more behind it than a user and a group without a word, and takes the next",
			re(`takes a command, a user and a group`), nil, nil},
		{"which CPUs there are is keepalived's own matter",
			nil, re(`Invalid cpu_id:\d+ specified`), nil},
	}
}

// A candidate is a configuration that both judge.
type candidate struct {
	what, text, file string
}

// candidates makes up n configurations: every second is one of the acceptance configurations with slips of the hand,
// the others come from the keyword table. Each depends on the seed and its number alone.
func candidates(t *testing.T, seed uint64, n int) []candidate {
	t.Helper()
	dir := t.TempDir()
	files, err := filepath.Glob(filepath.Join(acceptance, "*.conf"))
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	if err := os.CopyFS(filepath.Join(dir, "conf.d"), os.DirFS(filepath.Join(acceptance, "conf.d"))); err != nil {
		t.Fatal(err)
	}
	a := newAuthor()
	out := make([]candidate, n)
	for i := range out {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		c := &out[i]
		c.file = filepath.Join(dir, fmt.Sprintf("v%d.conf", i))
		if i%2 == 0 {
			name := files[i/2%len(files)]
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			c.text, c.what = variant(r, string(b))
			c.what = filepath.Base(name) + ": " + c.what
		} else {
			c.text, c.what = a.write(r)
			if r.IntN(4) == 0 {
				var slip string
				c.text, slip = variant(r, c.text)
				c.what += ", then " + slip
			}
		}
		c.what = fmt.Sprintf("configuration %d: %s", i, c.what)
		write(t, c.file, c.text)
	}
	return out
}

// TestVariantsAsKeepalived makes up configurations, most of them wrong somewhere, and wants the class of keepalived's
// verdict from ours for each.
func TestVariantsAsKeepalived(t *testing.T) {
	h := languageHost(t)
	uvs := labtest.Binary(t)
	all := candidates(t, *variantSeed, *variantFiles)
	known := differences()
	var (
		mu        sync.Mutex
		seen      = map[string]int{}
		otherwise = make([]int, len(known))
		none      int
	)
	judge := func(t *testing.T, c *candidate) {
		args := []string{"-t", "-f", c.file, "-i", "main"}
		want, said, ok := keepalivedVerdict(t, h, args...)
		got, out := verdict(t, h, uvs, append([]string{"keepalived"}, args...)...)
		mu.Lock()
		defer mu.Unlock()
		if strings.Contains(out, "goroutine ") { // its exit status is 2, as that of a word without its value
			t.Errorf("%s: uvs panics: %s", c.what, out)
		}
		if !ok {
			none++
			return
		}
		seen[class(want)]++
		if class(got) == class(want) {
			return
		}
		for i := range known {
			if known[i].covers(c.text, out, said) {
				otherwise[i]++
				return
			}
		}
		t.Errorf("%s: exit status %d, want %d\nuvs:\n%s\nkeepalived:\n%s", c.what, got, want, out, said)
	}
	t.Run("all", func(t *testing.T) {
		const parts = 3
		for part := range parts {
			t.Run(fmt.Sprint(part), func(t *testing.T) {
				t.Parallel()
				for i := part; i < len(all); i += parts {
					judge(t, &all[i])
				}
			})
		}
	})
	sum := 0
	for i, n := range otherwise {
		sum += n
		t.Logf("%d judged otherwise: %s", n, known[i].why)
	}
	t.Logf("keepalived's verdicts: %v, none for %d (it crashed or did not end)", seen, none)
	if sum > len(all)/25 {
		t.Errorf("%d of %d are judged otherwise, want at most one in 25", sum, len(all))
	}
	for kind, part := range map[string]int{"fine": 10, "reported": 10, "refused": 50} {
		if seen[kind] < len(all)/part {
			t.Errorf("keepalived's verdicts %v are too much the same to tell anything", seen)
		}
	}
}
