package preflight

import (
	"os"
	"path/filepath"
	"testing"
)

// TestCloudOf: firmware names the cloud, or nothing does.
func TestCloudOf(t *testing.T) {
	for _, tc := range []struct{ file, text, want string }{
		{"sys_vendor", "Amazon EC2\n", "Amazon EC2"},
		{"product_name", "Google Compute Engine\n", "Google Compute Engine"},
		{"chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77\n", "Microsoft Azure"},
		{"product_name", "OpenStack Nova\n", "an OpenStack cloud"},
		{"sys_vendor", "Dell Inc.\n", ""},
		{"other", "Amazon EC2\n", ""},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, tc.file), []byte(tc.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := cloudOf(dir); got != tc.want {
			t.Errorf("%s %q is %q, want %q", tc.file, tc.text, got, tc.want)
		}
	}
}
