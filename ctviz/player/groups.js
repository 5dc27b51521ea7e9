// Named groups of nodes; a collapsed one is drawn as a single node.

export class Groups {
  /** `list`: [{name, members, collapsed}], members as indices of nodes. */
  constructor(list = []) {
    this.list = list;
  }

  /** The groups of a run; those that were open in `before` stay open. */
  static of(model, before) {
    const open = new Set(before.list.filter((g) => !g.collapsed).map((g) => g.name));
    return new Groups((model.groups ?? [])
      .map(({ name, nodes }) => ({
        name, collapsed: !open.has(name),
        members: nodes.map((node) => model.index.get(node)).filter((n) => n !== undefined),
      }))
      .filter(({ members }) => members.length > 1));
  }

  made(name, nodes) {
    const members = [...nodes].sort((a, b) => a - b);
    return new Groups([...this.list, { name, members, collapsed: true }]);
  }

  toggled(at) {
    return new Groups(this.list.map((group, g) =>
      (g === at ? { ...group, collapsed: !group.collapsed } : group)));
  }

  without(at) {
    return new Groups(this.list.filter((_, g) => g !== at));
  }
}

/** A group as it is kept with the run: names only. */
export const plain = ({ name, members }, model) => ({
  name, nodes: members.map((n) => model.nodes[n].name),
});
