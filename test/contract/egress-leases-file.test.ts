import { describe } from 'vitest';
import { leaseContract } from '../support/lease-contract.js';
import { fileWorld } from '../support/lease-worlds.js';

describe('leases in a directory', () => {
  leaseContract('file', fileWorld);
});
