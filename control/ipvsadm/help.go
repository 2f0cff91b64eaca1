package ipvsadm

// helpText is the answer to -h. It takes the program's name and Version.
const helpText = `%[2]s
Usage:
  %[1]s -A|-E SERVICE [-s SCHEDULER] [-p [SECONDS]] [-M NETMASK] [--pe NAME] [-b FLAGS] [-o]
  %[1]s -D SERVICE
  %[1]s -C
  %[1]s -a|-e SERVICE -r SERVER [-g|-i|-m] [-w WEIGHT] [-x UPPER] [-y LOWER] [TUNNEL]
  %[1]s -d SERVICE -r SERVER
  %[1]s -L|-l [SERVICE|-c|--timeout|--daemon] [-n] [OPTIONS]
  %[1]s -Z [SERVICE]
  %[1]s --set TCP TCPFIN UDP
  %[1]s -S [-n] [--save-thresholds]
  %[1]s -R [--atomic]
  %[1]s -h|-v

This is uvs answering ipvsadm's command line from the running uvs.

Commands:
  --add-service     -A        add a service
  --edit-service    -E        replace all settings of a service
  --delete-service  -D        delete a service and its servers
  --clear           -C        delete everything
  --add-server      -a        add a server to a service
  --edit-server     -e        replace all settings of a server
  --delete-server   -d        delete a server from a service
  --list            -L|-l     list the table (also when no command is given)
  --zero            -Z        zero the counters, of all or of one service
  --set TCP TCPFIN UDP        timeouts of idle connections in seconds, 0 leaves one
  --save            -S        print the table as commands
  --restore         -R        do the commands on standard input, one a line
  --help            -h        this text
  --version         -v        the version that is answered for

A SERVICE is one of:
  --tcp-service     -t ADDRESS[:PORT]
  --udp-service     -u ADDRESS[:PORT]
  --sctp-service       ADDRESS[:PORT]
  --fwmark-service  -f MARK [-6]
where ADDRESS may be a host name, and an IPv6 address with a port stands in [].

Of a service:
  --scheduler       -s NAME       rr wrr lc wlc sed nq sh dh mh lblc lblcr fo ovf twos; wlc
  --persistent      -p [SECONDS]  clients come back to their server; 360
  --netmask         -M NETMASK    clients of one network together; IPv6: a prefix length
  --pe                 NAME       persistence engine: sip
  --sched-flags     -b FLAGS      sh-fallback, sh-port, mh-fallback, mh-port, flag-1 to 3
  --ops             -o            one-packet scheduling (UDP)

Of a server:
  --real-server     -r ADDRESS[:PORT]
  --gatewaying      -g            direct routing, unless another is given
  --ipip            -i            tunnel
  --masquerading    -m            NAT
  --weight          -w WEIGHT     1; with 0 it gets no new connections
  --u-threshold     -x UPPER      no new connections from this many on
  --l-threshold     -y LOWER      until there are fewer than these
  --tun-type TYPE                 ipip, gue or gre
  --tun-port PORT                 of gue
  --tun-nocsum --tun-csum --tun-remcsum

Of --list:
  --numeric         -n            print addresses and ports in numbers
  --connection      -c            list the connections instead
  --stats           --rate        counters, or how much a second
  --exact           -X            these in full
  --thresholds      --persistent-conn   --tun-info
  --timeout         --daemon      the timeouts; daemons of connection sync
  --nosort                        keep the table's own order

Ours alone:
  --atomic                        of --restore: all lines or none
  --save-thresholds               of --save: with -x and -y, which ipvsadm forgets

Services that uvs does not forward for yet are listed and saved all the same; "uvs
status" says which, and why. Connection sync is not served yet.

The run directory of the uvs to ask is /run/uvs, or what UVS_RUN_DIR says.
`
