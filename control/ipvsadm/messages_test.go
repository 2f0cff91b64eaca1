package ipvsadm_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"uvs/control"
	"uvs/control/ipvsadm/ipvsadmtest"
)

// refuser is a table that refuses every edit with a code, and lists nothing.
type refuser struct {
	code control.Code
	down error // why there is no director
}

func (r refuser) Services(context.Context) (control.ServiceList, error) {
	return control.ServiceList{TableSize: 4096}, r.down
}

func (r refuser) Connections(context.Context, func(control.Connection) error) error { return r.down }

func (r refuser) Edit(context.Context, []control.Edit) error {
	switch {
	case r.down != nil:
		return r.down
	case r.code != "":
		return &control.EditError{Code: r.code, Message: "what the director says"}
	}
	return nil
}

const (
	service = "-t 192.0.2.10:80"
	server  = service + " -r 198.51.100.1:80"
	tryHelp = "Try `ipvsadm -h' or 'ipvsadm --help' for more information."
)

// TestMessages holds every message and exit status of ipvsadm, a row each. What a kernel's
// IPVS answers to whole sequences is held by TestCaptured.
func TestMessages(t *testing.T) {
	for _, tt := range []struct {
		command string
		code    control.Code // the table's answer
		want    string
		status  int
	}{
		{"-A " + service, "", "", 0},
		{"-h", "", "", 0},
		{"-v", "", "", 0},

		// Usage.
		{"bogus", "", tryHelp, 255},
		{"-t 192.0.2.10:80 -A", "", tryHelp, 255},
		{"-n -L", "", tryHelp, 255},
		{"--bogus", "", tryHelp, 255},

		// The table refuses.
		{"-A " + service, control.CodeExists, "Service already exists", 255},
		{"-A " + service + " -s wrx", control.CodeNotFound, "Scheduler or persistence engine not found", 255},
		{"-E " + service + " -s wrx", control.CodeNotFound, "Scheduler or persistence engine not found", 255},
		{"-E " + service, control.CodeNoService, "No such service", 255},
		{"-D " + service, control.CodeNoService, "No such service", 255},
		{"-Z " + service, control.CodeNoService, "No such service", 255},
		{"-L -n " + service, "", "No such service", 1},
		{"-a " + server, control.CodeNoService, "Service not defined", 255},
		{"-e " + server, control.CodeNoService, "Service not defined", 255},
		{"-d " + server, control.CodeNoService, "Service not defined", 255},
		{"-a " + server, control.CodeExists, "Destination already exists", 255},
		{"-e " + server, control.CodeNotFound, "No such destination", 255},
		{"-d " + server, control.CodeNotFound, "No such destination", 255},
		{"-C", control.CodePermission, "Permission denied (you must be root)", 255},
		{"-A " + service, control.CodePermission, "Permission denied (you must be root)", 255},
		{"-a " + server, control.CodeInvalid, "Invalid operation.  Possibly wrong module version, address not unicast, ...", 255},
		{"-a " + server, control.CodeNoMemory, "Memory allocation problem", 255},
		{"-a " + server, control.CodeFamily, "Operation not supported with specified address family", 255},
		{"-a " + server + " -x 5 -y 6", control.CodeRange, "Numerical result out of range", 255},
		{"-a " + server, control.CodeFailed, "what the director says", 255},
		// Connection sync is not served: starting it is refused in words of our own.
		{"--start-daemon master", "", "connection sync is not served by uvs yet", 255},
		{"--stop-daemon master", "", "No daemon is running", 255},

		// Options and commands that do not go together.
		{"-A", "", "You need to supply the 'service-address' option for the 'add-service' command", 2},
		{"-a " + service, "", "You need to supply the 'real-server' option for the 'add-server' command", 2},
		{"-C -n", "", "Illegal 'numeric' option with the 'flush' command", 2},
		{"-D " + service + " -s rr", "", "Illegal 'scheduler' option with the 'delete-service' command", 2},
		{"-L -c --timeout", "", "The option 'timeout' conflicts with the 'connection' option in the 'list' command", 2},
		{"-L -c --stats", "", "options conflicts in the list command", 2},
		{"-A " + service + " -t 192.0.2.11:80", "", "multiple 'service-address' options specified", 2},
		{"-a " + server + " -g -m", "", "multiple 'forwarding-method' options specified", 2},
		{"-A " + service + " more", "", "unexpected argument more", 2},

		// Values.
		{"-A " + service + " -p 0", "", "invalid timeout value `0' specified", 2},
		{"-A " + service + " -p x", "", "invalid timeout value `x' specified", 2},
		{"--set 1 2 2678401", "", "invalid timeout value `2678401' specified", 2},
		{"--set 1 2", "", "--set option requires 3 timeout values", 2},
		{"-A -f 0", "", "invalid fwmark value `0' specified", 2},
		{"-A -f x", "", "invalid fwmark value `x' specified", 2},
		{"-A -t 192.0.2.300:80", "", "illegal virtual server address[:port] specified", 2},
		{"-a " + service + " -r 192.0.2.300:80", "", "illegal real server address[:port] specified", 2},
		{"-a " + server + " -w x", "", "illegal weight specified", 2},
		{"-a " + server + " -x -1", "", "illegal u_threshold specified", 2},
		{"-a " + server + " -y -1", "", "illegal l_threshold specified", 2},
		{"-A " + service + " -p -M 300.0.0.0", "", "illegal virtual server persistent mask specified", 2},
		{"-A -t [2001:db8::1]:80 -p -M 129", "", "illegal ipv6 netmask specified", 2},
		{"--start-daemon master --syncid 256", "", "illegal syncid specified", 2},
		{"--start-daemon master --mcast-port 65536", "", "illegal mcast-port specified", 2},
		{"--start-daemon master --mcast-ttl 256", "", "illegal mcast-ttl specified", 2},
		{"--start-daemon master --sync-maxlen 70000", "", "illegal sync-maxlen specified", 2},
		{"--start-daemon chief", "", "illegal start-daemon parameter specified", 2},
		{"--stop-daemon chief", "", "illegal start_daemon specified", 2},
		{"-a " + server + " -i --tun-type vxlan", "", "illegal tunnel type specified", 2},
		{"-a " + server + " -i --tun-type gue --tun-port 0", "", "illegal tunnel port specified", 2},
		{"-A " + service + " -s sh -b sh-gone", "", "invalid scheduler flag `sh-gone'", 2},
		{"-A " + service + " -s rr -b sh-port", "", "incompatible scheduler flag `sh-port'", 2},

		// Combinations.
		{"-A -t 192.0.2.10", "", "Zero port specified for non-persistent service", 2},
		{"-A " + service + " -o", "", "One-Packet Scheduling is only for UDP virtual services", 2},
		{"-a " + service + " -r [2001:db8::1]:80 -g", "", "Different address family is allowed only for tunneling servers", 2},
		{"-a " + server + " -m --tun-type gre", "", "Tunnel options conflict with forward method", 2},
		{"-a " + server + " -i --tun-type gue", "", "You need to supply the 'tun-port' option for the 'gue' tunnel type", 2},
		{"-a " + server + " -i --tun-type ipip --tun-csum", "", "Illegal 'tun-csum' option with the 'ipip' tunnel type", 2},
		{"-a " + server + " -i --tun-type gre --tun-remcsum", "", "Illegal 'tun-remcsum' option with the 'gre' tunnel type", 2},
		{"-a " + server + " -i --tun-type gre --tun-csum --tun-nocsum", "", "The option 'tun-csum' conflicts with the 'tun-nocsum' option in the 'gre' tunnel type", 2},
		{"-A -6 -f 7", "", "-6 used before -f\n", 2},

		// A second command is an option that is not known there: the message "multiple commands
		// specified" cannot be reached in 1.31 either (captured/scan.txt).
		{"-A -C", "", "invalid option `-C'", 2},
	} {
		t.Run(tt.command+" "+string(tt.code), func(t *testing.T) {
			got := ipvsadmtest.Run(t, refuser{code: tt.code}, strings.Fields(tt.command), "")
			if message := strings.TrimSuffix(got.Stderr, "\n"); message != tt.want || got.Status != tt.status {
				t.Errorf("%q and status %d, want %q and %d", message, got.Status, tt.want, tt.status)
			}
		})
	}
}

// TestMessagesWithoutDirector: the counterpart of a kernel without IPVS. Status and first
// words are the same; the advice fits what is missing here. Help and version need none.
func TestMessagesWithoutDirector(t *testing.T) {
	down := refuser{down: errors.New("no uvs is running")}
	for _, command := range []string{"-L -n", "-L -n -c", "-L --timeout", "-S -n", "-C", "-A " + service, "-a " + server, "--set 1 2 3", "-Z"} {
		got := ipvsadmtest.Run(t, down, strings.Fields(command), "")
		if got.Stderr != "Can't initialize ipvs: no uvs is running\n" || got.Status != 2 {
			t.Errorf("%s: %q and status %d", command, got.Stderr, got.Status)
		}
	}
	for _, command := range []string{"-h", "-v"} {
		if got := ipvsadmtest.Run(t, down, []string{command}, ""); got.Status != 0 || got.Stdout == "" {
			t.Errorf("%s: status %d, %q", command, got.Status, got.Stdout)
		}
	}
}
