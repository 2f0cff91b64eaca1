package ipvsadm

// helpText is the answer to -h. It takes the program's name and Version.
const helpText = `%[2]s
Usage:
  %[1]s [-L|-l] [SERVICE|-c] [-n] [--nosort]
  %[1]s -h|-v

This is uvs answering ipvsadm's command line from the running uvs. These
commands are served now:
  --list        -L|-l    list the service table (also when no command is given)
  --help        -h       this text
  --version     -v       the version that is answered for

A SERVICE is one of:
  --tcp-service     -t ADDRESS[:PORT]
  --udp-service     -u ADDRESS[:PORT]
  --sctp-service       ADDRESS[:PORT]
  --fwmark-service  -f MARK [-6]
where ADDRESS may be a host name, and an IPv6 address with a port stands in [].

Options of --list:
  --numeric     -n       print addresses and ports in numbers
  --connection  -c       list the tracked connections instead
  --nosort               keep the table's own order
  --sort                 does nothing: sorted is the default
  --exact       -X       does nothing here: only statistics have long numbers

The run directory of the uvs to ask is /run/uvs, or what UVS_RUN_DIR says.
`
