/** SpoofGuard on Open vSwitch: what a workload may call itself. */
import { spoofGuardTests } from '../support/spoof-guard-tests.js';

spoofGuardTests('ovs', {}, async (world) => world.ovs?.ofctl('dump-flows', 'table=1'));
