// The axis of the training steps: linear, logarithmic, or with all snapshots as far apart.

const CROWDED = 4; // times as far apart as the first two that snapshots are in the mean
const JUMP = 3; // times as long as the gaps beside it

export const AXES = { auto: "automatic", linear: "linear", log: "logarithmic", even: "even" };

/**
 * @param {number[]} steps of the snapshots, in order
 * @param {string} kind of `AXES`; automatic is logarithmic where most snapshots lie near the first,
 * else linear
 * @returns {{ kind: string, share: (step: number) => number, step: (share: number) => number }}
 * `share`: where a step stands, from 0 to 1; `step`: which one stands there.
 */
export function axis(steps, kind = "auto") {
  const first = steps[0] ?? 0;
  const length = Math.max((steps[steps.length - 1] ?? 1) - first, 1e-9);
  const unit = (steps[1] ?? 1) - first;
  if (kind === "auto") {
    const crowded = steps.length > 3 && length / (steps.length - 1) > CROWDED * unit;
    kind = crowded ? "log" : "linear";
  }
  if (kind === "even" && steps.length > 1) return even(steps);
  if (kind === "log" && unit > 0) {
    const whole = Math.log1p(length / unit);
    return {
      kind,
      share: (step) => Math.log1p((step - first) / unit) / whole,
      step: (share) => first + unit * Math.expm1(share * whole),
    };
  }
  return { kind, share: (step) => (step - first) / length, step: (share) => first + share * length };
}

/** Straight from each snapshot to the next. */
function even(steps) {
  const last = steps.length - 1;
  const between = (at) => Math.max(0, Math.min(last - 1, Math.floor(at)));
  return {
    kind: "even",
    share: (step) => {
      let k = 0;
      while (k < last - 1 && steps[k + 1] <= step) k += 1;
      return (k + (step - steps[k]) / (steps[k + 1] - steps[k])) / last;
    },
    step: (share) => {
      const k = between(share * last);
      return steps[k] + (share * last - k) * (steps[k + 1] - steps[k]);
    },
  };
}

/**
 * Whether there is a jump from each snapshot to the next: a gap that is much longer than those
 * beside it, on the linear and on the logarithmic axis alike.
 *
 * @param {number[]} steps of the snapshots, in order
 * @returns {boolean[]} one fewer than there are snapshots
 */
export function jumps(steps) {
  const long = ["linear", "log"].map((kind) => {
    const { share } = axis(steps, kind);
    const gaps = steps.slice(1).map((step, k) => share(step) - share(steps[k]));
    return gaps.map((gap, k) => gap > JUMP * Math.max(gaps[k - 1] ?? 0, gaps[k + 1] ?? 0));
  });
  return steps.slice(1).map((_, k) => steps.length > 3 && long[0][k] && long[1][k]);
}
