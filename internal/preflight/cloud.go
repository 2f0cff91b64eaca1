package preflight

import (
	"os"
	"path/filepath"
	"strings"
)

// cloudOf returns the name of the cloud that a machine is rented from, as its firmware tells
// (/sys/class/dmi/id), "" if it tells none.
func cloudOf(dir string) string {
	firmware := ""
	for _, name := range []string{"sys_vendor", "product_name", "bios_vendor", "board_vendor", "chassis_asset_tag"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			firmware += strings.TrimSpace(string(b)) + "\n"
		}
	}
	for _, c := range []struct{ sign, name string }{
		{"Amazon EC2", "Amazon EC2"},
		{"Google Compute Engine", "Google Compute Engine"},
		{"7783-7084-3265-9085-8269-3286-77", "Microsoft Azure"}, // chassis_asset_tag of each machine there
		{"OpenStack", "an OpenStack cloud"},
		{"Alibaba Cloud", "Alibaba Cloud"},
		{"OracleCloud.com", "Oracle Cloud"},
		{"DigitalOcean", "DigitalOcean"},
		{"Hetzner", "Hetzner Cloud"},
	} {
		if strings.Contains(firmware, c.sign) {
			return c.name
		}
	}
	return ""
}

// cloud: a cloud's network knows which addresses a machine has, and drops what others it sends
// from or is sent to.
func (j *judge) cloud() {
	const ask = "addresses move only when the cloud is told (notify_master), and its source/destination check of this machine has to be off: " +
		"it drops what is sent from or to other addresses than the machine's own, such as virtual addresses and clients of NAT servers"
	switch {
	case j.facts.Cloud != "":
		j.note("this machine is of %s: %s", j.facts.Cloud, ask)
	case j.site.Unicast:
		j.note("VRRP goes to its peers one by one, as in a cloud's network. If this is one: %s", ask)
	}
}
