/** The address plan of a world that nobody has to build: like the netns worlds, for tests without packets. */
import type { PolicyPlan } from './policy-inventory.js';

/** Pods x/a, x/b, y/a, y/b, z/a and a VM. */
export const WORKLOADS = ['x-a', 'x-b', 'y-a', 'y-b', 'z-a', 'vm'] as const;

export const EXAMPLE_PLAN: PolicyPlan = {
  workloads: WORKLOADS.map((name, index) => ({
    name, mac: `02:dd:00:00:0${index + 1}:02`, hostMac: `02:dd:00:00:0${index + 1}:01`,
    ipv4: `10.10.${index}.2`, ipv6: `fd10::${index}:2`, undeclared: [`10.20.${index}.0/24`, `fd20:0:0:${index}::/64`],
  })),
  host: ['10.10.255.1', 'fd10::ffff:1'],
  outside: ['203.0.113.0/24', '2001:db8:cafe::/64'],
  interfaceOf: (workload) => `veth-${workload}`,
};
