import { describe, expect, it } from 'vitest';
import { diffText } from '../../../src/cli/render/diff.js';
import { palette } from '../../../src/cli/render/palette.js';
import { endpointsText, policiesText, withStatus, type PolicyView } from '../../../src/cli/render/policies.js';
import type { DiffView, FlowView, PolicyStatusView, RuleView } from '../../../src/model/views.js';

const plain = palette(false);
const status = (fields: Partial<PolicyStatusView>): PolicyStatusView => ({ name: 'x', state: 'realized', workloads: 1, filters: ['f'], ruleCount: 1, hits: 0, rules: [], ...fields });
const view = (fields: Partial<PolicyStatusView>, manifest: unknown = {}): PolicyView => ({ kind: 'NetworkPolicy', name: 'web', source: 'file', manifest, status: status(fields) });

describe('policies', () => {
  it("are listed as antctl lists them, a reason only where there is one", () => {
    const fine = [view({ name: 'AntreaClusterNetworkPolicy:acnp1', tierPriority: 99.3, priority: 5, hits: 12, filters: ['a', 'b'] }), view({ name: 'K8sNetworkPolicy:shop/web', filters: [], state: 'not-here' })];
    expect(policiesText(fine)).toBe([
      'NAME                              APPLIED-TO  RULES  TIER-PRIORITY  PRIORITY  STATE     HITS  SOURCE',
      'AntreaClusterNetworkPolicy:acnp1           2      1           99.3         5  realized    12  file',
      'K8sNetworkPolicy:shop/web                  0      1         <NONE>    <NONE>  not-here     0  file', '',
    ].join('\n'));
    const held = policiesText([...fine, view({ state: 'held', problem: { object: 'x', path: 'spec.tier', message: 'held: no tier\u001b[31m' } })]).split('\n');
    expect(held[0]).toMatch(/SOURCE {2}REASON$/);
    expect(held[3]).toMatch(/ held .* spec\.tier: held: no tier\\u001b\[31m$/);
  });

  it('keep a status of their own under ours', () => {
    expect(withStatus(view({ hits: 3 }, { kind: 'NetworkPolicy', status: { conditions: [], hits: 'theirs' } }))).toMatchObject({ kind: 'NetworkPolicy', status: { conditions: [], hits: 3, state: 'realized' } });
    expect(withStatus({ kind: 'Pod', name: 'web', source: 'file', manifest: { status: { podIP: '10.0.0.1' } } })).toEqual({ status: { podIP: '10.0.0.1' } });
  });

  it('of a pod: those applied, and rules that name it', () => {
    const policyref = { kind: 'NetworkPolicy', group: 'crd.antrea.io', namespace: 'shop', name: 'annp' };
    expect(endpointsText({ endpoints: [{ namespace: 'shop', name: 'web', policies: [policyref], egressdstrules: [], ingresssrcrules: [{ policyref, direction: 'In', ruleindex: 2, rule: 'allow' }] }] })).toBe([
      'Endpoint shop/web', '', 'Applied Policies:', 'NAME                           KIND           GROUP', 'AntreaNetworkPolicy:shop/annp  NetworkPolicy  crd.antrea.io', '',
      'Egress Rules: none', '', 'Ingress Rules:', 'NAME                           INDEX  RULE', 'AntreaNetworkPolicy:shop/annp      2  allow', '',
    ].join('\n'));
  });
});

describe('a difference', () => {
  const nothing: DiffView = {
    changes: [], errors: [], filters: { added: [], removed: [] }, reordered: [], rules: { added: [], removed: [], changed: [] },
    addressSets: { added: [], removed: [], changed: [] }, flowsCut: [], flowsComplete: true,
  };
  const rule = (id: number, action: 'accept' | 'drop'): RuleView => ({ id, at: 1, direction: 'in', protocol: 'tcp', source: { any: true }, destination: { any: true }, ports: ['80'], action, log: false });

  it('says that there is none', () => {
    expect(diffText(nothing, plain)).toBe('no rule and no address set of this host changes\n\nno connection is cut\n');
    expect(diffText({ ...nothing, flowsComplete: false }, plain)).toContain('connections cut: 0 at least');
  });

  it('is grouped by the filters that it is for', () => {
    const flow: FlowView = {
      id: '558a796d00000000', state: 'Active', protocol: 'tcp', ethertype: '0800', direction: 'in', ruleId: 1001, source: { address: '10.0.0.1', port: 5 }, destination: { address: '10.0.0.2', port: 80 },
      ageSeconds: 1, timeoutSeconds: 2, tcpState: 'EST', bytes: { original: 1, reply: 2 }, packets: { original: 3, reply: 4 },
    };
    const text = diffText({
      ...nothing, changes: [{ object: 'RuleTable/t', operation: 'configured' }], filters: { added: ['nic-9-eth0-dfw.2'], removed: [] },
      rules: {
        added: [{ ruleset: 't', filters: ['a', 'b'], rule: rule(2, 'drop') }], removed: [{ ruleset: 'u', filters: ['a'], rule: rule(3, 'accept') }],
        changed: [{ ruleset: 't', filters: ['a', 'b'], before: [rule(1, 'accept')], after: [rule(1, 'drop')] }],
      },
      addressSets: { added: [], removed: [{ name: 'gone', filters: ['a'], addresses: [] }], changed: [{ name: 's', filters: ['a', 'b'], added: Array.from({ length: 10 }, (_, i) => `10.0.0.${i}`), removed: ['10.1.0.0/16'] }] },
      flowsCut: [flow],
    }, plain, ' (dry run)');
    expect(text).toBe([
      'RuleTable/t configured (dry run)', '', '+ filter nic-9-eth0-dfw.2', '',
      'filters a, b:', '  ruleset t',
      '    + rule 2 at 1 in protocol tcp from any to any port 80 drop;',
      '    - rule 1 at 1 in protocol tcp from any to any port 80 accept;',
      '    + rule 1 at 1 in protocol tcp from any to any port 80 drop;',
      '  addrset s', '    + 10.0.0.0, 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4, 10.0.0.5, 10.0.0.6, 10.0.0.7 and 2 more', '    - 10.1.0.0/16', '',
      'filter a:', '  ruleset u', '    - rule 3 at 1 in protocol tcp from any to any port 80 accept;', '  addrset gone', '    - no members', '',
      'connections cut: 1', '  558a796d00000000 Active tcp 0800 1 1001 0 0  10.0.0.1:Unknown(5) 10.0.0.2:http(80) 1 EST 1 2 3 4', '',
    ].join('\n'));
  });
});
