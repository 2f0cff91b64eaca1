#!/usr/bin/env bash
# ipvsadm-captures.sh has Debian's ipvsadm and the IPVS of Debian's kernel answer the
# commands in control/ipvsadm/testdata/captured, and writes the answers into these files.
# It boots a virtual machine (lvs-vm, emulated where there is no KVM; a minute or two), needs
# root, and fetches ipvsadm, the kernel and QEMU at its first run. The tests of
# control/ipvsadm compare ours with the files and need none of that.
#	scripts/ipvsadm-captures.sh [FILE-PATTERN]
set -eu -o pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/sbin:/sbin"
command -v ipvsadm >/dev/null || {
	DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends ipvsadm
}
dir=$PWD/.cache/captures
rm -rf "$dir"
mkdir -p "$dir/out"
go test -c -tags 'netns guest' -o "$dir/ipvsadm.test" ./control/ipvsadm
cat >"$dir/run" <<RUN
export PATH="\$PATH:/usr/sbin:/sbin"
cd $PWD/control/ipvsadm
exec $dir/ipvsadm.test -test.count=1 -test.timeout 20m -test.run '^TestCapture\$/${1:-}'
RUN
chmod +x "$dir/run"
scripts/lvs-vm/vm-run -a "${VM_ACCEL:-tcg}" -m 2048 -t 1500 -o "$dir/out" "$dir/run"
cp "$dir"/out/*.txt control/ipvsadm/testdata/captured/
git --no-pager diff --stat -- control/ipvsadm/testdata/captured
