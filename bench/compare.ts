// Whether two contenders computed the same: a benchmark checks before it starts its clock.

/** @throws Error where they differ by more than `tolerance` of the largest expected element. */
export function compare(what: string, actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  if (actual.length !== expected.length) throw new Error(`${what}: ${actual.length} and ${expected.length} elements`);
  let largest = 1e-6;
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i] ?? 0));
    const difference = Math.abs((actual[i] ?? Number.NaN) - (expected[i] ?? Number.NaN));
    if (!(difference <= worst)) worst = difference;
  }
  if (!(worst <= tolerance * largest)) throw new Error(`${what} differ by ${worst} (largest ${largest})`);
}
