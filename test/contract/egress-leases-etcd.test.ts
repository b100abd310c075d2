import { describe } from 'vitest';
import { leaseContract } from '../support/lease-contract.js';
import { etcdWorld } from '../support/lease-worlds.js';

describe('leases in etcd, three members', () => {
  leaseContract('etcd', etcdWorld);
});
