// When to draw: one frame for however many requests, and how fast frames come while it plays.

const KEPT = 121; // frame times, about two seconds of them

export class Schedule {
  /** `frame(now, ms)` draws; `ms` passed since the last frame, or 16 after a rest. */
  constructor(frame) {
    this.frame = frame;
    this.times = [];
    this.pending = false;
    this.last = 0;
    this.ended = false;
  }

  /** Draw with the next frame of the screen. */
  request() {
    if (this.pending || this.ended) return;
    this.pending = true;
    requestAnimationFrame((now) => {
      this.pending = false;
      if (!this.ended) this.frame(now, this.last ? now - this.last : 16);
    });
  }

  /**
   * After a frame at `now`: draw another one, or rest.
   *
   * @param {number} now
   * @param {{ again: boolean, playing: boolean }} how
   */
  after(now, { again, playing }) {
    if (!playing) this.times.length = 0;
    else if (this.times.push(now) > KEPT) this.times.shift();
    this.last = again ? now : 0;
    if (again) this.request();
  }

  /** Frames a second over the last two seconds or so of playback. */
  fps() {
    const { times } = this;
    if (times.length < 2) return 0;
    return ((times.length - 1) * 1000) / (times[times.length - 1] - times[0]);
  }

  end() {
    this.ended = true;
  }
}
