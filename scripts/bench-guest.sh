#!/usr/bin/env bash
# bench-guest.sh measures UVS beside the kernel's IPVS in a virtual machine whose kernel has it
# (lvs-vm, emulated where there is no KVM). It needs root, fetches Debian's kernel and QEMU
# at its first run, and ends within GUEST_LIMIT seconds.
#	scripts/bench-guest.sh [FLAGS OF BENCH]
set -eu -o pipefail
cd "$(dirname "$0")/.."
dir=$PWD/.cache/guest
mkdir -p "$dir/results"
go build -buildvcs=false -o "$dir/bench" ./bench
flags=
[ $# -eq 0 ] || flags=$(printf '%q ' "$@")
cat >"$dir/bench-run" <<RUN
export PATH="\$PATH:/usr/sbin:/sbin"
modprobe -a veth ip_vs ip_vs_rr nf_tables
cd $PWD
exec $dir/bench -profile guest -rounds 2 -seconds 2 -warm-up 0.5 -scenarios pps,cpu -o "\$VM_OUT" -name guest \
	-contenders kernel,direct,uvs-nat,uvs-dr,ipvs-nat,ipvs-dr $flags
RUN
chmod +x "$dir/bench-run"
scripts/lvs-vm/vm-run -a "${VM_ACCEL:-tcg}" -t "${GUEST_LIMIT:-2400}" -o "$dir/results" "$dir/bench-run"
cp "$dir"/results/guest.{json,jsonl,md} bench/results/
