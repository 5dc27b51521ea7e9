// The axis of the training steps: linear, or logarithmic where most snapshots lie near the first.

const CROWDED = 4; // times as far apart as the first two that snapshots are in the mean

/**
 * @param {number[]} steps of the snapshots, in order
 * @returns {{ log: boolean, share: (step: number) => number, step: (share: number) => number }}
 * `share`: where a step stands, from 0 to 1; `step`: which one stands there.
 */
export function axis(steps) {
  const first = steps[0] ?? 0;
  const length = Math.max((steps[steps.length - 1] ?? 1) - first, 1e-9);
  const unit = (steps[1] ?? 1) - first;
  const log = steps.length > 3 && length / (steps.length - 1) > CROWDED * unit;
  if (!log) {
    return {
      log, share: (step) => (step - first) / length, step: (share) => first + share * length,
    };
  }
  const whole = Math.log1p(length / unit);
  return {
    log,
    share: (step) => Math.log1p((step - first) / unit) / whole,
    step: (share) => first + unit * Math.expm1(share * whole),
  };
}
