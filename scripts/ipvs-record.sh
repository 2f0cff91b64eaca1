#!/usr/bin/env bash
# ipvs-record.sh has the IPVS of Debian's kernel answer the scripts in internal/parity/testdata,
# and writes its answers into them. It boots a virtual machine (lvs-vm, emulated where there is
# no KVM; some minutes), needs root, and fetches ipvsadm, the kernel and QEMU at its first run.
# `make test` compares uvs with the answers and needs none of that.
#	scripts/ipvs-record.sh [FILE-PATTERN]
set -eu -o pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/sbin:/sbin"
command -v ipvsadm >/dev/null || {
	DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends ipvsadm
}
dir=$PWD/.cache/record-$$
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/out"
go test -c -tags 'netns guest' -o "$dir/e2e.test" ./e2e
cat >"$dir/run" <<RUN
export PATH="\$PATH:/usr/sbin:/sbin" PARITY='${1:-*}' PARITY_RECORD=1
modprobe -aq veth bridge macvlan || true
cd $PWD/e2e
exec $dir/e2e.test -test.count=1 -test.v -test.timeout 60m -test.run '^TestGuestIPVS\$'
RUN
chmod +x "$dir/run"
status=0
scripts/lvs-vm/vm-run -a "${VM_ACCEL:-tcg}" -t 3600 -o "$dir/out" "$dir/run" >"$dir/log" || status=$?
[ $status = 0 ] || grep -- "^ *---\|: want\|error" "$dir/log"
ls "$dir"/out/*.txt >/dev/null 2>&1 && cp "$dir"/out/*.txt internal/parity/testdata/
git --no-pager diff --stat -- internal/parity/testdata
