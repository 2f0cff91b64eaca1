#!/usr/bin/env bash
# guest.sh runs the tests with the tag guest in a virtual machine whose kernel has VLANs,
# bonds and VRFs (lvs-vm, emulated where there is no KVM; some minutes). It needs root and
# fetches Debian's kernel and QEMU at its first run.
#	scripts/guest.sh [TEST-PATTERN]
# PARITY is a pattern of the scripts that TestGuestIPVS plays (internal/parity/testdata); '*', for all,
# takes longer than the machine's time limit where there is no KVM.
set -eu -o pipefail
cd "$(dirname "$0")/.."
dir=$PWD/.cache/guest
mkdir -p "$dir"
go test -c -tags 'netns guest' -o "$dir/e2e.test" ./e2e
cat >"$dir/run" <<RUN
export PATH="\$PATH:/usr/sbin:/sbin" UVS_BIN=$PWD/bin/uvs PARITY='${PARITY:-}'
modprobe -a veth bridge macvlan
cd $PWD/e2e
exec $dir/e2e.test -test.count=1 -test.v -test.timeout 20m -test.run '${1:-^TestGuest}'
RUN
chmod +x "$dir/run"
exec scripts/lvs-vm/vm-run -a "${VM_ACCEL:-tcg}" -t 1500 "$dir/run"
