import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { alertDetails, bounded, LONGEST_FIELD } from '../../../../src/drivers/ids/eve-details.js';

describe('alertDetails', () => {
  test('http, tls, dns, community id and protocol, as Suricata 7 writes them', () => {
    expect(alertDetails({
      community_id: '1:abc=', app_proto: 'http',
      http: { hostname: 'example.com', url: '/id', http_user_agent: 'curl/8', http_method: 'GET', protocol: 'HTTP/1.1', status: 200, length: 39 },
      tls: { sni: 'a.example', subject: 'CN=a', version: 'TLS 1.2', ja3: {} },
      dns: { query: [{ type: 'query', id: 1, rrname: 'evil.example', rrtype: 'A', tx_id: 0 }] },
    })).toEqual({
      communityId: '1:abc=', appProtocol: 'http', http: { host: 'example.com', url: '/id', userAgent: 'curl/8', method: 'GET', status: 200 },
      tls: { sni: 'a.example', subject: 'CN=a', version: 'TLS 1.2' }, dns: { query: 'evil.example', type: 'A' },
    });
    expect(alertDetails({ dns: { rrname: 'x.example', rrtype: 'AAAA' } })).toEqual({ dns: { query: 'x.example', type: 'AAAA' } });
  });

  test('what is missing, empty or of another type is left out', () => {
    expect(alertDetails({})).toEqual({});
    expect(alertDetails({ app_proto: 'failed', http: { hostname: 7, url: '', status: 'x' }, tls: [], dns: { query: [] }, community_id: null })).toEqual({});
    expect(alertDetails({ http: { status: 100_000 } })).toEqual({});
  });

  test('no text is longer than the bound, or broken UTF-16 where it was not', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme', minLength: 0, maxLength: 3 * LONGEST_FIELD }), (text) => {
      const cut = bounded(text) ?? '';
      expect(cut.length).toBeLessThanOrEqual(LONGEST_FIELD);
      expect(/\p{Surrogate}/u.test(cut)).toBe(/\p{Surrogate}/u.test(text.slice(0, LONGEST_FIELD - 2)));
      if (text.length <= LONGEST_FIELD) expect(cut).toBe(text);
      else expect(text.startsWith(cut.slice(0, -1))).toBe(true);
    }));
  });
});
