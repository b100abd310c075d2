import { describe, expect, test } from 'vitest';
import { parseClassification } from '../../../../../src/drivers/ids/signatures/classification.js';
import { parseSignature, ruleSpans } from '../../../../../src/drivers/ids/signatures/rule-text.js';

const priorityOf = parseClassification('# x\nconfig classification: trojan-activity,A Network Trojan was detected, 1\nconfig classification: Odd,Odd things,4\r\nconfig classification: odd,Again,2\nnonsense\n');
const parse = (text: string) => parseSignature(text, priorityOf);

describe('lines', () => {
  const spans = (text: string) => [...ruleSpans(text)];

  test('rules, comments, what begins with white space, continuations', () => {
    const file = [
      'alert tcp any any -> any any (sid:1;)', '# a comment', '', ' alert tcp any any -> any any (sid:2;)', '\talert tcp any any -> any any (sid:3;)',
      'alert tcp any any -> any any (msg:"x"; \\  ', '# no comment here \\', '  sid:4;)', '#alert udp any any -> any any (sid:5;)', 'alert tcp any any -> any any (sid:6;)\r',
    ].join('\n');
    expect(spans(file).map(({ line, enabled, starts }) => [line, enabled, starts.length])).toEqual([[1, true, 1], [6, true, 3], [9, false, 1], [10, true, 1]]);
    expect(spans(file)[1]?.text).toBe('alert tcp any any -> any any (msg:"x"; # no comment here   sid:4;)');
    expect(spans(file)[3]?.text).toBe('alert tcp any any -> any any (sid:6;)');
  });

  test('a comment that ends in a backslash does not swallow the next rule', () => {
    expect(spans('# text \\\nalert tcp any any -> any any (sid:1;)\n').map(({ line }) => line)).toEqual([2]);
    expect(spans('#alert tcp any any -> any any (msg:"off"; \\\nalert tcp any any -> any any (sid:1;)\n').map(({ line, enabled }) => [line, enabled])).toEqual([[2, true]]);
  });

  test('a rule over several lines that is commented out is one', () => {
    const [span, ...more] = spans('# alert tcp any any -> any any (msg:"off"; \\\n#  sid:7;)\nalert tcp any any -> any any (sid:8;)');
    expect(span).toMatchObject({ line: 1, enabled: false });
    expect(parse(span?.text ?? '')).toMatchObject({ sid: 7, message: 'off' });
    expect(more.map(({ line }) => line)).toEqual([3]);
  });

  test('a continuation that the file ends in is no rule; nor is prose about rules', () => {
    expect(spans('alert tcp any any -> any any (sid:1; \\')).toEqual([]);
    expect(spans('# drop these (all of them) when they are noisy\n# alert, drop and pass are actions\n')).toMatchObject([{ text: 'drop these (all of them) when they are noisy' }]);
    expect(parse('drop these (all of them) when they are noisy')).toBeUndefined();
    expect(spans('')).toEqual([]);
  });
});

describe('options', () => {
  test('what is read of a signature', () => {
    expect(parse('drop http $HOME_NET any -> any any (msg:"ET A\\; \\"b\\" \\: c\\\\d"; content:"sid:9\\;"; SID: 17 ; rev:3; classtype:Trojan-Activity; metadata:created_at 2020_01_01, signature_severity Major;)')).toEqual({
      sid: 17, rev: 3, action: 'drop', severity: 1, category: 'Trojan-Activity', message: 'ET A; "b" : c\\d',
    });
    expect(parse('alert tcp any any -> any any (msg:"x";)')).toBeUndefined();
    expect(parse('alert tcp any any -> any any (sid:x;)')).toBeUndefined();
    expect(parse('alert tcp any any -> any any sid:1;')).toBeUndefined();
  });

  test.each([
    ['priority:2; classtype:trojan-activity; metadata:signature_severity Minor;', 2],
    ['classtype:odd; metadata:signature_severity Critical;', 4],
    ['classtype:unheard-of; metadata:a b,signature_severity Critical;', 1],
    ['metadata:signature_severity Informational;', 4],
    ['metadata:signature_severity Unknown;', 3],
    ['', 3],
  ])('severity of %s', (options, severity) => {
    expect(parse(`alert tcp any any -> any any (${options} sid:1;)`)?.severity).toBe(severity);
  });

  test('a message in UTF-8, read byte by byte', () => {
    const text = Buffer.from('alert tcp any any -> any any (msg:"Zürich 日本"; sid:1;)', 'utf8').toString('latin1');
    expect(parse(text)?.message).toBe('Zürich 日本');
  });
});
