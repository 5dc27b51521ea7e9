// The one clock that every panel follows.
//
// The clock is always at a snapshot `i`, or on the way from `i` to `j = i + 1` with 0 < f < 1.
// While playing it dwells at each snapshot, so that the eye can rest on real numbers, and then
// moves on; what is drawn on the way is an interpolation and marked as one.

const PERIOD = 420; // ms a snapshot at speed 1
const DWELL = 0.3; // share of the period spent exactly at the snapshot

/**
 * Index of the snapshot nearest to a training step, the earlier of two as near. The same rule as
 * `ctviz.runs.snapshot.nearest_snapshot`; both are tested on one table of cases.
 *
 * @param {number[]} steps increasing, at least one
 * @param {number} asked
 */
export function nearestSnapshot(steps, asked) {
  let best = 0;
  steps.forEach((step, i) => {
    if (Math.abs(step - asked) < Math.abs(steps[best] - asked)) best = i;
  });
  return best;
}

const ease = (x) => x * x * (3 - 2 * x);

export class Clock {
  /** `still`: nothing moves between snapshots, for people who ask for reduced motion. */
  constructor({ still = false } = {}) {
    this.count = 0;
    this.i = 0;
    this.phase = 0;
    this.previous = -1; // the snapshot shown before this one; -1: none
    this.arrived = 0; // when this snapshot was reached
    this.playing = false;
    this.speed = 1;
    this.loop = false;
    this.still = still;
  }

  get last() {
    return Math.max(0, this.count - 1);
  }

  get j() {
    return Math.min(this.i + 1, this.last);
  }

  get f() {
    if (this.still || this.i === this.last || this.phase <= DWELL) return 0;
    return ease((this.phase - DWELL) / (1 - DWELL));
  }

  play() {
    if (this.count < 2) return;
    if (this.i === this.last) this.go(0);
    this.playing = true;
  }

  /** Rest at the nearest snapshot. */
  pause() {
    const onward = this.f >= 0.5;
    this.playing = false;
    this.phase = 0;
    if (onward) this.go(this.j);
  }

  /**
   * Show snapshot `i`, exactly.
   *
   * @param {number} i
   */
  go(i, { forget = false } = {}) {
    const target = Math.max(0, Math.min(this.last, Math.round(i)));
    this.phase = 0;
    if (target === this.i) return;
    this.previous = forget ? -1 : this.i;
    this.i = target;
    this.arrived = performance.now();
  }

  /**
   * Let `ms` pass.
   *
   * @param {number} ms
   */
  tick(ms) {
    if (!this.playing) return;
    this.phase += (Math.min(ms, 120) * this.speed) / PERIOD;
    while (this.phase >= 1 && this.playing) {
      this.phase -= 1;
      const phase = this.phase;
      if (this.i < this.last) this.go(this.i + 1);
      else if (this.loop) this.go(0, { forget: true });
      this.phase = phase;
      if (this.i === this.last && !this.loop) this.pause();
    }
  }

  /**
   * The next (or with -1 the last) snapshot of which `wanted` says true, or null.
   *
   * @param {boolean[]} wanted
   */
  find(wanted, by = 1) {
    for (let i = this.i + by; i >= 0 && i <= this.last; i += by) if (wanted[i]) return i;
    return null;
  }

  /**
   * A growing run: keep the place in time.
   *
   * @param {number} count
   */
  resize(count) {
    this.count = count;
    if (this.i > this.last) {
      this.i = this.last;
      this.phase = 0;
    }
    if (this.previous > this.last) this.previous = -1;
    if (count < 2) this.playing = false;
  }
}
