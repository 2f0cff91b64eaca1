//go:build netns

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"uvs/internal/netlab/labtest"
)

// resting are acceptance configurations with instances that do not become masters on a host
// of its own, and what they say of it.
var resting = map[string]string{
	"09-seed-vpc-lvs02.conf": "no source address", // it is for the other machine of the pair
	"36-bfd-tracking.conf":   "BFD up1 down",      // there is no peer
}

// TestVRRPConfigurationsRun: every acceptance configuration with a vrrp_instance is run on
// the machine that it was written for; without another router each instance becomes master
// and has its addresses, and at the end nothing is left.
func TestVRRPConfigurationsRun(t *testing.T) {
	files, err := filepath.Glob(acceptance + "/*.conf")
	if err != nil || len(files) == 0 {
		t.Fatalf("no configurations: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "vrrp_instance") {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".conf"), func(t *testing.T) {
			t.Parallel()
			runConfiguration(t, file)
		})
	}
}

func runConfiguration(t *testing.T, file string) {
	abs, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	h := languageHost(t)
	addresses := func() string { return labtest.Run(t, h, "ip", "-o", "address") }
	before := ""
	labtest.Eventually(t, labtest.Hang, func() error {
		if before = addresses(); strings.Contains(before, "tentative") {
			return fmt.Errorf("duplicate addresses are still looked for")
		}
		return nil
	})
	d := launchFile(t, h, abs, "-i", "main", "--ring-memory", "4M", "--workers", "1")
	d.waitReady()
	why := resting[filepath.Base(file)]
	labtest.Eventually(t, labtest.Hang, func() error {
		s := d.status()
		if s.VRRP == nil || len(s.VRRP.Instances) == 0 {
			return fmt.Errorf("there are no instances")
		}
		for _, i := range s.VRRP.Instances {
			if i.State != "MASTER" && (why == "" || !strings.Contains(i.Reason, why)) {
				return fmt.Errorf("%s is %s: %s", i.Name, i.State, i.Reason)
			}
		}
		for _, a := range s.Addresses {
			if why == "" && !strings.Contains(addresses(), " "+a.Address.String()+" ") && !strings.Contains(addresses(), " "+a.Address.Addr().String()+" peer ") {
				return fmt.Errorf("%s is not on an interface", a.Address)
			}
		}
		return nil
	})
	d.stop()
	if after := addresses(); after != before {
		t.Errorf("addresses before:\n%s\nafter SIGTERM:\n%s", before, after)
	}
}
