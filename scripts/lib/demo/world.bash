# The world of the demonstration, made of network namespaces on this machine: one "host" where the agent runs, and behind a
# veth each the virtual machines, the pods and a management host that is no workload. Every workload is routed (/32, /128)
# by the host, as Calico does; with DATAPATH=ovs the veths are ports of a bridge, behind whose local port the host routes. Nothing
# outside these namespaces is touched.
# shellcheck shell=bash disable=SC2034

WORLD=${DFW_DEMO_WORLD:-dfw-demo}
HOST=$WORLD-host
BRIDGE=br-int
# namespace      interface on the host  IPv4            IPv6
WORKLOADS=(
  "web-sv-01a    vm-web         172.16.10.12    fd00:10::12"
  "db-sv-01a     vm-db          172.16.10.11    fd00:10::11"
  "redis-master  pod-redis      10.98.0.2       fd00:98::2"
  "guestbook     pod-guestbook  10.98.0.3       fd00:98::3"
  "web           pod-web        10.98.0.4       fd00:98::4"
  "management    ext-mgmt       192.168.110.10  fd00:110::10"
)

in_host() { ip netns exec "$HOST" "$@"; }
# in_workload NAME COMMAND...
in_workload() { ip netns exec "$WORLD-$1" "${@:2}"; }

world_exists() { ip netns list | grep -q "^$WORLD-"; }

build_world() {
  local name interface v4 v6
  ip netns add "$HOST"
  in_host ip link set lo up
  in_host sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  if [ "$DATAPATH" = ovs ]; then start_switch; fi
  # The gateway that every workload names; the host answers for it on each veth, or on its port of the bridge.
  in_host ip address add 169.254.1.1/32 dev "$(gateway_device)"
  for entry in "${WORKLOADS[@]}"; do
    read -r name interface v4 v6 <<<"$entry"
    add_workload "$name" "$interface" "$v4" "$v6"
  done
}

gateway_device() { if [ "$DATAPATH" = ovs ]; then printf '%s\n' "$BRIDGE"; else printf 'lo\n'; fi; }

start_switch() {
  mkdir -p "$DEMO"
  quietly ovs-start scripts/ovs start --dir "$DEMO/ovs" --netns "$HOST" --bridge "$BRIDGE" || die 'Open vSwitch does not start.'
  in_host ip link set "$BRIDGE" up
  in_host ip address add fe80::1/64 dev "$BRIDGE" nodad
}

add_workload() { # NAME INTERFACE V4 V6
  ip netns add "$WORLD-$1"
  ip link add "$2" netns "$HOST" type veth peer name eth0 netns "$WORLD-$1"
  in_host ip link set "$2" up
  local route=$2
  if [ "$DATAPATH" = ovs ]; then
    route=$BRIDGE
    ovs-vsctl --timeout=20 --db="unix:$DEMO/ovs/db.sock" add-port "$BRIDGE" "$2"
    # The userspace datapath passes checksums on as it finds them.
    in_workload "$1" ethtool -K eth0 tx off >/dev/null
  else
    in_host ip address add fe80::1/64 dev "$2" nodad
  fi
  in_host ip route add "$3/32" dev "$route"
  in_host ip -6 route add "$4/128" dev "$route"
  in_workload "$1" ip link set lo up
  in_workload "$1" sysctl -q -w net.ipv6.conf.eth0.router_solicitations=0 # its gateway is given
  in_workload "$1" ip address add "$3/32" dev eth0
  in_workload "$1" ip -6 address add "$4/128" dev eth0 nodad
  in_workload "$1" ip link set eth0 up
  in_workload "$1" ip route add 169.254.1.1 dev eth0
  in_workload "$1" ip route add default via 169.254.1.1
  in_workload "$1" ip -6 route add default via fe80::1 dev eth0
}

# Ends what runs in the namespaces (and nothing else), then removes them.
remove_world() {
  local namespace
  if [ -d "$DEMO/ovs" ]; then scripts/ovs stop --dir "$DEMO/ovs" >/dev/null 2>&1 || true; fi
  for namespace in $(ip netns list | awk -v prefix="$WORLD-" 'index($1, prefix) == 1 { print $1 }'); do
    ip netns pids "$namespace" | xargs -r kill 2>/dev/null || true
  done
  local waited=0
  while [ "$waited" -lt 50 ] && [ -n "$(world_pids)" ]; do
    sleep 0.1
    waited=$((waited + 1))
  done
  world_pids | xargs -r kill -9 2>/dev/null || true
  for namespace in $(ip netns list | awk -v prefix="$WORLD-" 'index($1, prefix) == 1 { print $1 }'); do
    ip netns delete "$namespace"
  done
}

world_pids() {
  local namespace
  for namespace in $(ip netns list | awk -v prefix="$WORLD-" 'index($1, prefix) == 1 { print $1 }'); do ip netns pids "$namespace"; done
}
