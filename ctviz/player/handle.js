// A read-only handle on a player, for tests and benchmarks.

/** What can be asked of a player from outside, frozen. */
export function handle(player) {
  const { clock } = player;
  return Object.freeze({
    run: () => player.model?.run ?? null,
    frame: () => clock.i + clock.f,
    snapshot: () => clock.i,
    playing: () => clock.playing,
    fps: () => player.schedule.fps(),
    selected: () => player.model?.nodes[player.selected]?.name ?? null,
    nodes: () => player.names(),
    hovered: () => player.model?.nodes[player.hovered]?.name ?? null,
    marked: () => marked(player.graph.painter),
    view: () => JSON.parse(player.viewText()),
    edges: () => player.shownEdges(),
    drawn: () => player.graph.painter?.drawn.length ?? 0,
    ready: () => Boolean(player.graph.network && player.graph.view),
    nodeAt: (name) => player.graph.where(name),
    open: () => [...player.open],
    lines: () => player.graph.lines?.E ?? 0,
    onScreen: () => player.graph.onScreen(),
    scale: () => player.graph.network?.getScale() ?? null,
  });
}

/** How many edges are marked as changed, by what became of them. */
function marked(painter) {
  const count = (...lists) => lists.reduce((sum, list) => sum + list.count, 0);
  return {
    entered: count(...painter.entered), left: count(...painter.ghosts),
    reversed: count(...painter.reversed), stronger: painter.stronger.count, weaker: painter.weaker.count,
    noise: count(painter.faintEntered, painter.faintGhosts, painter.onlyByNoise),
  };
}
