import { describe } from 'vitest';
import { leaseContract } from '../support/lease-contract.js';
import { kubernetesWorld } from '../support/lease-worlds.js';

describe('leases in the Kubernetes API', () => {
  leaseContract('kubernetes', kubernetesWorld);
});
