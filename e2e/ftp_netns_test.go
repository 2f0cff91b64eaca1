//go:build netns

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// ftpBytes is what goes through each way.
const ftpBytes = 16 << 20

// vsftpdConf takes the directory of the files, the family's switches and the port.
const vsftpdConf = `
listen=%[2]s
listen_ipv6=%[3]s
listen_port=%[4]d
background=NO
anonymous_enable=YES
no_anon_password=YES
anon_root=%[1]s
anon_upload_enable=YES
anon_umask=022
write_enable=YES
connect_from_port_20=YES
ftp_data_port=%[5]d
port_promiscuous=YES
seccomp_sandbox=NO
ftp_username=ftp
nopriv_user=ftp
secure_chroot_dir=%[6]s
xferlog_enable=NO
`

// startFTP starts vsftpd on a port of every address of a host, for each family one, and fills
// it with a file big and one that has the host's name.
func startFTP(t *testing.T, h *netlab.Host, port int, content []byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for p := dir; strings.HasPrefix(p, os.TempDir()) && p != os.TempDir(); p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string][]byte{"big": content, "name": []byte(h.Name() + "\n")}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	up := filepath.Join(dir, "up")
	if err := os.Mkdir(up, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(up, 0o777); err != nil { // whatever the umask
		t.Fatal(err)
	}
	empty := t.TempDir()
	for _, v6 := range []bool{false, true} {
		yes := map[bool]string{true: "YES", false: "NO"}
		conf := filepath.Join(t.TempDir(), "vsftpd.conf")
		text := fmt.Sprintf(vsftpdConf, dir, yes[!v6], yes[v6], port, port-1, empty)
		if v6 {
			text += "listen_address6=" + h.Addr6("eth0").String() + "\n"
		} else {
			text += "listen_address=0.0.0.0\n"
		}
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		labtest.Start(t, h, "vsftpd", conf)
		at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
		if v6 {
			at = netip.AddrPortFrom(h.Addr6("eth0"), uint16(port))
		}
		labtest.Eventually(t, labtest.Hang, func() error {
			c, err := h.DialContext(t.Context(), "tcp", at.String())
			if err != nil {
				return err
			}
			return c.Close()
		})
	}
	return dir
}

// ftpConfig makes the services of a mode those of FTP.
func ftpConfig(m mode, top *netlab.Topology, port int, settings string) string {
	config := strings.ReplaceAll(m.config(top), " 80 {\n delay_loop", " 21 {\n"+settings+" delay_loop")
	return strings.ReplaceAll(config, fmt.Sprintf(" %d {\n  TCP_CHECK", m.port), fmt.Sprintf(" %d {\n  TCP_CHECK", port))
}

func ftpURL(vip netip.Addr, path string) string {
	return "ftp://" + netip.AddrPortFrom(vip, 21).String() + path
}

func randomFile(t *testing.T, n int) (content []byte, name, hash string) {
	t.Helper()
	content = make([]byte, n)
	rand.NewChaCha8([32]byte{5}).Read(content) //nolint:errcheck // never fails
	name = filepath.Join(t.TempDir(), "upload")
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	return content, name, hex.EncodeToString(sum[:])
}

// ftpWays are curl's flags for each way to a data connection, and whether IPv6 knows it.
func ftpWays() []struct {
	name  string
	flags []string
	v6    bool
} {
	return []struct {
		name  string
		flags []string
		v6    bool
	}{
		{"EPSV", nil, true},
		{"PASV", []string{"--disable-epsv"}, false},
		{"EPRT", []string{"-P", "-"}, true},
		{"PORT", []string{"-P", "-", "--disable-eprt"}, false},
	}
}

// TestFTP: big files and listings go through by NAT to vsftpd on another port, passive and active,
// over both families and by each way to steer.
func TestFTP(t *testing.T) {
	t.Parallel()
	m := modes()[0]
	content, upload, hash := randomFile(t, ftpBytes)
	for _, steering := range []string{"auto", "clsact", "nft", "iptables"} {
		t.Run(steering, func(t *testing.T) {
			top := m.site(t, netlab.Plan{Servers: 2, NoVIP: true})
			var dirs []string
			for _, h := range top.Servers {
				dirs = append(dirs, startFTP(t, h, 2121, content))
			}
			d := startDirector(t, top.Directors[0], ftpConfig(m, top, 2121, ""), "--workers", "2", "--steer", steering)
			for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
				for _, way := range ftpWays() {
					if vip.Is6() && !way.v6 || steering != "auto" && way.name != "PASV" && way.name != "EPRT" {
						continue
					}
					ftpTransfers(t, top.Clients[0], vip, way.flags, upload, hash, dirs)
				}
			}
			if out := d.uvs("ipvsadm", "-L", "-n", "-c"); !strings.Contains(out, ":20 ") || !strings.Contains(out, ":21 ") {
				t.Errorf("ipvsadm -Lnc lists no control or no active data connection:\n%s", out)
			}
			drops := d.status().Drops
			for _, name := range []string{"drop_unsteered", "drop_no_flow", "drop_same_client"} {
				if drops[name] != 0 {
					t.Errorf("%d frames are counted as %s", drops[name], name)
				}
			}
		})
	}
}

// ftpTransfers lists the directory, gets the big file and puts it back.
func ftpTransfers(t *testing.T, client *netlab.Host, vip netip.Addr, flags []string, upload, hash string, dirs []string) {
	t.Helper()
	run := func(args ...string) string {
		return curl(t, client, append(append([]string{"--max-time", "30"}, flags...), args...)...)
	}
	if list := run(ftpURL(vip, "/")); !strings.Contains(list, "big") || !strings.Contains(list, "up") {
		t.Errorf("%s %v: the directory is listed as\n%s", family(vip), flags, list)
	}
	got := filepath.Join(t.TempDir(), "got")
	run("-o", got, ftpURL(vip, "/big"))
	if h := hashFile(t, got); h != hash {
		t.Errorf("%s %v: the file came with SHA-256 %s, want %s", family(vip), flags, h, hash)
	}
	name := fmt.Sprintf("/up/%s-%d", family(vip), len(flags))
	run("-T", upload, ftpURL(vip, name))
	found := false
	for _, dir := range dirs {
		if _, err := os.Stat(dir + name); err != nil {
			continue
		}
		found = true
		if h := hashFile(t, dir+name); h != hash {
			t.Errorf("%s %v: the file was stored with SHA-256 %s, want %s", family(vip), flags, h, hash)
		}
		os.Remove(dir + name) //nolint:errcheck // the next one has another name or replaces it
	}
	if !found {
		t.Errorf("%s %v: no server has %s", family(vip), flags, name)
	}
}

// TestFTPByDirectRoutingAndPersistence: a client's data connections come to the server that has
// its control connection, which only persistence tells.
func TestFTPByDirectRoutingAndPersistence(t *testing.T) {
	m := modes()[1]
	content, upload, hash := randomFile(t, 1<<20)
	top := m.site(t, netlab.Plan{Servers: 3, ClientAddrs: 3, NoVIP: true})
	for _, h := range top.Servers {
		// Its process that binds the data port is not root any more.
		labtest.Run(t, h, "sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=20")
		startFTP(t, h, 21, content)
	}
	startDirector(t, top.Directors[0], ftpConfig(m, top, 21, " persistence_timeout 60\n"), "--workers", "2")
	client := top.Clients[0]
	servers := make(map[string]bool)
	for _, p := range client.Addrs("eth0") {
		if !p.Addr().Is4() {
			continue
		}
		for _, way := range ftpWays() {
			flags := append([]string{"--max-time", "20", "--interface", p.Addr().String()}, way.flags...)
			if way.name == "EPRT" || way.name == "PORT" {
				flags = append(flags, "-P", p.Addr().String())
			}
			got := filepath.Join(t.TempDir(), "got")
			curl(t, client, append(flags, "-o", got, ftpURL(top.VIP4, "/big"))...)
			if h := hashFile(t, got); h != hash {
				t.Errorf("%s from %s: SHA-256 %s, want %s", way.name, p.Addr(), h, hash)
			}
			curl(t, client, append(flags, "-T", upload, ftpURL(top.VIP4, "/up/"+way.name+p.Addr().String()))...)
			servers[curl(t, client, append(flags, ftpURL(top.VIP4, "/name"))...)] = true
		}
	}
	if len(servers) != 3 {
		t.Errorf("three clients met the servers %v", servers)
	}
}

// TestFTPClientOfManyCommands: lftp keeps several connections and asks without waiting for
// answers; a mirror both ways arrives whole.
func TestFTPClientOfManyCommands(t *testing.T) {
	m := modes()[0]
	content, _, hash := randomFile(t, 2<<20)
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	dir := startFTP(t, top.Servers[0], 2121, content)
	for i := range 20 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file%d", i)), content[:100_000*(i%4)+i], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d := startDirector(t, top.Directors[0], ftpConfig(m, top, 2121, ""), "--workers", "2")
	for i, settings := range []string{
		"set ftp:sync-mode off; set ftp:prefer-epsv yes",
		"set ftp:sync-mode on; set ftp:prefer-epsv no",
		"set ftp:passive-mode off; set ftp:sync-mode on",
	} {
		to := filepath.Join(t.TempDir(), "mirror")
		script := settings + fmt.Sprintf("; set net:timeout 5; set net:max-retries 3; open -u anonymous,x ftp://%s; mirror --parallel=4 --exclude up/ . %s; "+
			"cd up; put %s/big -o big%d; quit", netip.AddrPortFrom(top.VIP4, 21), to, to, i)
		labtest.Run(t, top.Clients[0], "lftp", "--norc", "-c", script)
		for j := range 20 {
			if info, err := os.Stat(filepath.Join(to, fmt.Sprintf("file%d", j))); err != nil || info.Size() != int64(100_000*(j%4)+j) {
				t.Errorf("%s: file%d: %v, %v", settings, j, info, err)
			}
		}
		for _, name := range []string{filepath.Join(to, "big"), filepath.Join(dir, "up", fmt.Sprintf("big%d", i))} {
			if h := hashFile(t, name); h != hash {
				t.Errorf("%s: %s has SHA-256 %s, want %s", settings, name, h, hash)
			}
		}
	}
	if out := d.uvs("ipvsadm", "-L", "-n", "-c"); !strings.Contains(out, "TIME_WAIT") {
		t.Errorf("ipvsadm -Lnc lists no data connection that ended:\n%s", out)
	}
}
