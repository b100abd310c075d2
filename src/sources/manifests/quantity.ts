/** Quantities as Kubernetes writes them: "500k", "1.5M", "2Gi", "1e6". */
const POWERS: Readonly<Record<string, number>> = {
  n: 1e-9, u: 1e-6, m: 1e-3, '': 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18, Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60,
};

/** Rounded up to a whole number, as Quantity.Value() does; undefined for what is none. */
export function quantityOf(text: string): number | undefined {
  const [, digits = '', suffix = ''] = /^([+-]?(?:\d+\.?\d*|\.\d+))((?:[eE][+-]?\d{1,3})|[A-Za-z]{0,2})$/.exec(text) ?? [];
  if (digits === '') return undefined;
  if (/^[eE][+-]?\d/.test(suffix)) return Math.ceil(Number(digits + suffix));
  const power = POWERS[suffix];
  return power === undefined ? undefined : Math.ceil(Number(digits) * power);
}
