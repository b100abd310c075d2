#!/usr/bin/env bash
# What scripts/test-vm runs in its guest when it is given no command: the tests that need another kernel than the developer's.
#   nftables of Linux 6.1, routed (with redirected traffic) and on a Linux bridge (with br_netfilter in the end), and Open vSwitch with the kernel's datapath, each against the oracle
#   (DFW_PROPERTY_TABLES random tables, default 15); and test/vm, which is about those two only.
# About 25 minutes on a quiet machine of two cores. Exit 0 only when everything passed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

export DFW_PROPERTY_TABLES=${DFW_PROPERTY_TABLES:-15}
failed=()

stage() { # NAME COMMAND...
  local name=$1
  shift
  printf '==> %s\n' "$name"
  "$@" || failed+=("$name")
}

if ! modprobe openvswitch; then
  echo 'error: this kernel has no module openvswitch; run scripts/test-vm' >&2
  exit 1
fi
stage nftables node_modules/.bin/vitest run --project netns test/netns/property.test.ts
stage 'redirected traffic' node_modules/.bin/vitest run --project contract --project e2e test/contract/native-return-paths.test.ts test/e2e/redirect-nftables.test.ts -t 'return paths|goes round once'
stage 'Linux bridge' node_modules/.bin/vitest run --project vm test/vm/linux-bridge.test.ts
export DFW_TEST_DATAPATH=bridge
stage 'Linux bridge, random tables and other tests of filters' node_modules/.bin/vitest run --project netns --project e2e test/netns/property.test.ts test/netns/nft-matrix.test.ts \
  test/netns/linux-bridge-shut.test.ts test/e2e/seed.test.ts test/e2e/stateless.test.ts test/e2e/revocation.test.ts
modprobe br_netfilter
stage 'Linux bridge, random tables beside br_netfilter' node_modules/.bin/vitest run --project netns test/netns/property.test.ts
modprobe --remove br_netfilter
export DFW_TEST_DATAPATH=ovs DFW_TEST_OVS_DATAPATH=system
stage 'Open vSwitch in the kernel' node_modules/.bin/vitest run --project vm test/vm/kernel-datapath.test.ts
# Tables that become some thousand flows each: with the 50,000 of some others, an emulated switch is busy for longer than the agent takes it for alive.
export DFW_PROPERTY_SEED=${DFW_PROPERTY_SEED:-59}
stage 'Open vSwitch in the kernel, random tables' node_modules/.bin/vitest run --project netns test/netns/property.test.ts
if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}"
  exit 1
fi
printf 'all of it passed on Linux %s\n' "$(uname -r)"
