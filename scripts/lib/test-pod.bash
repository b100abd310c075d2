#!/usr/bin/env bash
# test-pod.bash IMAGE: both containers of the DaemonSet as their pod would run them, in the image's directory: read-only but for the volumes,
# with two capabilities, and the configuration of deploy/kubernetes (from files: there is no API server). Ends with 0 when the agent has all in
# force, the engine runs with tested signatures, and both end when they are told to. For scripts/test-image, in namespaces of its own.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
image=$1
work=$(mktemp -d)
pod=$work/pod
jobs_of=()
ended() {
  local status=$?
  [ "$status" -eq 0 ] || tail -n 20 "$work"/*.log >&2 || true
  kill -KILL "${jobs_of[@]}" 2>/dev/null || true
  wait || true
  umount -R "$pod" 2>/dev/null || true
  rm -rf "$work"
}
trap ended EXIT

writable=(/var/lib/dfw-agent /var/log/dfw-agent /run/dfw-agent /run/openvswitch /var/lib/dfw-suricata /run/dfw-suricata /tmp)
mkdir -p "$pod" "$work/volumes"
mount --bind "$image" "$pod"
# What a runtime makes to mount on.
for place in "${writable[@]}"; do mkdir -p "$pod$place"; done
touch "$pod/etc/dfw-agent/agent.yaml"
mount -o remount,ro,bind "$pod"
for place in "${writable[@]}"; do
  mkdir -p "$work/volumes$place"
  mount --bind "$work/volumes$place" "$pod$place"
done
mkdir -p "$pod/var/log/dfw-agent/suricata" "$pod/var/lib/dfw-agent/manifests"
node --input-type=module -e "
  import { readFileSync, writeFileSync } from 'node:fs';
  import { parse } from 'yaml';
  const text = parse(readFileSync('$ROOT/deploy/kubernetes/configmap.yaml', 'utf8')).data['agent.yaml'];
  writeFileSync('$work/agent.yaml', text.replace('- type: kubernetes', '- { type: file, path: /var/lib/dfw-agent/manifests }'));"
mount --bind "$work/agent.yaml" "$pod/etc/dfw-agent/agent.yaml"
mount -t proc proc "$pod/proc"
mount -t sysfs sysfs "$pod/sys"
mount --bind /dev "$pod/dev"
ip link set lo up

two='-all,+net_admin,+net_raw'
container=(chroot "$pod" setpriv --bounding-set "$two" --inh-caps "$two" --no-new-privs env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin DFW_NODE=n1)
"${container[@]}" dfw-agent --config /etc/dfw-agent/agent.yaml >"$work/agent.log" 2>&1 &
agent=$!
"${container[@]}" dfw-engine /var/lib/dfw-suricata >"$work/engine.log" 2>&1 &
engine=$!
jobs_of=("$agent" "$engine")

good() {
  local status
  status=$("${container[@]}" agentctl status 2>/dev/null) || return 1
  grep -q '^Realized *: yes' <<<"$status" && grep -q '^ids *running' <<<"$status" && ! grep -q '^degraded' <<<"$status" &&
    "${container[@]}" dfw-engine --alive /run/dfw-suricata/command.socket
}
for ((i = 0; i < 120; i++)); do
  if good; then break; fi
  sleep 0.5
done
good || { "${container[@]}" agentctl status >&2; exit 1; }
kill -TERM "$agent"
wait "$agent"
kill -TERM "$engine"
wait "$engine"
