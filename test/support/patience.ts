/**
 * How much longer than usual tests wait before they give up: a factor, DFW_TEST_PATIENCE (at least 1; default 1). scripts/test-vm sets it for
 * emulated machines. It stretches limits and the time in which packets may arrive, never what is expected.
 */
export const PATIENCE = Math.max(1, Number(process.env['DFW_TEST_PATIENCE'] ?? 1) || 1);
