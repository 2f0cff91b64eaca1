#!/usr/bin/env bash
# packages.sh installs the Debian packages that the tests run beside uvs, as far as their
# programs are missing. It needs root only then.
set -eu

# program:package
programs=(
	aiosmtpd:python3-aiosmtpd
	apache2:apache2
	arping:iputils-arping
	bfdd:frr
	bpftool:bpftool
	curl:curl
	dnsmasq:dnsmasq-base
	ethtool:ethtool
	gcc:gcc
	haproxy:haproxy
	ip:iproute2
	iperf3:iperf3
	iptables:iptables
	ipvsadm:ipvsadm
	keepalived:keepalived
	lftp:lftp
	lighttpd:lighttpd
	mariadbd:mariadb-server
	mysql:mariadb-client
	nc.openbsd:netcat-openbsd
	nft:nftables
	nginx:nginx-light
	ping:iputils-ping
	ps:procps
	socat:socat
	squid:squid
	systemd-analyze:systemd
	tcpdump:tcpdump
	vsftpd:vsftpd
	wrk:wrk
)

PATH="$PATH:/usr/sbin:/sbin:/usr/lib/frr"
missing=()
for p in "${programs[@]}"; do
	command -v "${p%%:*}" >/dev/null || missing+=("${p##*:}")
done
# gcc without the C library's headers cannot link the race detector.
[ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
[ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || missing+=(libnginx-mod-stream)

[ ${#missing[@]} -gt 0 ] || exit 0
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# No daemon of these starts: the tests start their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	trap 'rm -f "$policy"' EXIT
fi
apt-get update -q
apt-get install -q -y --no-install-recommends "${missing[@]}"
