// The order of ids: "<ms>" or "<ms>-<n>", both compared as numbers.

/** @param {string} id */
const parts = (id) => {
  const [ms, n = '0'] = id.split('-');
  return [ms.padStart(20, '0'), n.padStart(20, '0')];
};

/**
 * Compares two ids; the empty one is older than all.
 * @param {string} a
 * @param {string} b
 */
export function compare(a, b) {
  const [x, y] = [parts(a).join(), parts(b).join()];
  return x < y ? -1 : x > y ? 1 : 0;
}
