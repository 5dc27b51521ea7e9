// Which event of the run is the last one at a snapshot, and which lie near a place on the clock.

/**
 * @typedef {{ kind: string, at: number | null, text: string, numbers: string, node: string }} Happened
 */

/** Those that stand on the clock; the others say how many more of a kind there are.
 * @param {Happened[]} events */
export const placed = (events) => events.filter(({ at }) => at !== null);

/**
 * Index among the placed events of the last one at snapshot `i` or before it; -1: none yet.
 *
 * @param {Happened[]} events placed ones, in order
 * @param {number} i
 */
export function latest(events, i) {
  return events.findLastIndex(({ at }) => at !== null && at <= i);
}

/**
 * The events nearest to a place, all of one snapshot, if they lie within `reach` of it.
 *
 * @param {Happened[]} events placed ones
 * @param {number[]} places of all snapshots, 0 to 1
 * @param {number} share
 * @param {number} reach
 */
export function near(events, places, share, reach) {
  const far = (event) => Math.abs(places[event.at] - share);
  const best = events.reduce((a, b) => (a === null || far(b) < far(a) ? b : a), null);
  return best && far(best) <= reach ? events.filter(({ at }) => at === best.at) : [];
}
