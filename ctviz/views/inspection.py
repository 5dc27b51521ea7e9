"""One node at a step beside step 0: what is near a link that is gone, figures and tables.

Pure: readings come from a snapshot or from the engine, and all text of tokens is shown as text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ctviz.circuits.graph import Graph, kind_of
from ctviz.circuits.redundancy import mass_name
from ctviz.look import look, rgb
from ctviz.runs.snapshot import Snapshot

__all__ = [
    "WINDOW",
    "attention_change",
    "attention_map",
    "attribution_bars",
    "compared",
    "edge_tables",
    "firing_table",
    "inspectable",
    "nearest_node",
    "nearest_steps",
    "neuron_table",
    "node_title",
    "predictions",
    "promoted",
    "redundancy_curves",
    "visible",
]

WINDOW = 24  # tokens that an attention map shows at a time
LONGEST = 14  # characters of a token on an axis
BLUE, ORANGE, GREY = (look()["figures"][name] for name in ("supports", "against", "reference"))
CLEAR_BLUE, CLEAR_ORANGE = (f"rgba({r}, {g}, {b}, 0)" for r, g, b in map(rgb, (BLUE, ORANGE)))
BARS = 12


# ---------------------------------------------------------------------- what is asked for


def inspectable(graph: Graph) -> list[str]:
    """The nodes that can be looked into: heads and MLPs, in the graph's order."""
    return [node for node in graph.nodes if kind_of(node) in ("head", "mlp")]


def node_title(node: str) -> str:
    """A node in words: ``a2.h1`` is layer 2, head 1."""
    if not node:
        return "The whole model"
    layer, _, unit = node[1:].partition(".")
    what = "head" if unit.startswith("h") else "MLP, block"
    return f"{node} · layer {layer}, {f'{what} {unit[1:]}' if unit else 'MLP'}"


def nearest_node(graph: Graph, asked: str) -> str:
    """The head or MLP of that name or, if there is none, the nearest one; "" for the whole model.

    A layer, head or block beyond the model's last is its last one.
    """
    if asked in inspectable(graph):
        return asked
    head = re.fullmatch(r"a(\d{1,6})\.h(\d{1,6})", asked)
    mlp = re.fullmatch(r"m(\d{1,6})(?:\.b(\d{1,6}))?", asked)
    found = head or mlp
    if found is None:
        return ""
    layer = min(int(found[1]), graph.n_layers - 1)
    if head:
        return f"a{layer}.h{min(int(head[2]), graph.n_heads - 1)}"
    return graph.mlp_nodes(layer)[min(int(found[2] or 0), graph.mlp_blocks - 1)]


def nearest_steps(steps: Sequence[int], asked: int) -> list[int]:
    """The last of some steps before one and the first after it; itself alone if it is there."""
    if asked in steps:
        return [asked]
    before, after = [s for s in steps if s < asked], [s for s in steps if s > asked]
    return [*before[-1:], *after[:1]]


# ---------------------------------------------------------------------- text of tokens


def visible(token: str, *, longest: int = LONGEST) -> str:
    """A token as it can be seen: signs for spaces that stand alone and for control characters."""
    signs = {"\n": "↵", "\t": "⇥", "\x7f": "␡"}
    shown = "".join(signs.get(c) or (chr(0x2400 + ord(c)) if c < " " else c) for c in token)
    shown = shown if shown.strip() else shown.replace(" ", "␣")
    return f"{shown[: longest - 1]}…" if len(shown) > longest else shown or "(nothing)"


def _label(token: str, **options: Any) -> str:
    """A token for Plotly, which takes what it is given for markup."""
    return html.escape(visible(token, **options).strip(), quote=False)


def compared(answer: str, foil: str) -> str:
    """What is attributed, in words: an answer's logit against its foil's or, without, the mean."""
    other = f"logit({visible(foil).strip()})" if foil else "the mean over all tokens"
    return f"logit({visible(answer).strip()}) − {other}"


# ---------------------------------------------------------------------- attention


def attention_map(tokens: Sequence[str], pattern: np.ndarray, *, first: int = 0) -> go.Figure:
    """Attention [query, key] from 0 (clear) to 1 (full colour), WINDOW tokens from ``first`` on."""
    return _map(tokens, pattern, first, low=0.0, scale=[[0, CLEAR_BLUE], [1, BLUE]], form=".2f")


def attention_change(tokens: Sequence[str], change: np.ndarray, *, first: int = 0) -> go.Figure:
    """Attention at a step minus that at another, -1 to 1: more is blue, less is orange."""
    scale = [[0, ORANGE], [0.5, CLEAR_ORANGE], [0.5, CLEAR_BLUE], [1, BLUE]]
    return _map(tokens, change, first, low=-1.0, scale=scale, form="+.2f")


def _map(
    tokens: Sequence[str],
    values: np.ndarray,
    first: int,
    *,
    low: float,
    scale: list[list[Any]],
    form: str,
) -> go.Figure:
    window = slice(first, first + WINDOW)
    shown = tokens[window]
    values = values[window, window]
    seen = np.where(np.tri(len(shown), dtype=bool), values, np.nan)  # nothing ahead is seen
    names = [_label(token) for token in shown]
    hover = [[f"{query} looks at {key}" for key in names] for query in names]
    places = list(range(len(shown)))
    figure = go.Figure(
        go.Heatmap(
            z=seen,
            customdata=hover,
            hovertemplate=f"%{{customdata}}: %{{z:{form}}}<extra></extra>",
            colorscale=scale,
            zmin=low,
            zmax=1.0,
            xgap=1,
            ygap=1,
            colorbar={"thickness": 8, "outlinewidth": 0, "tickformat": form, "nticks": 5},
            hoverongaps=False,
        )
    )
    ticks = {"tickvals": places, "ticktext": names, "showgrid": False, "zeroline": False}
    small = {"size": 11 if len(shown) <= 14 else 9}
    figure.update_xaxes(**ticks, tickangle=-60, title_text="looks at", tickfont=small)
    figure.update_yaxes(**ticks, autorange="reversed", title_text="from", tickfont=small)
    return _laid_out(figure, height=360)


# ---------------------------------------------------------------------- curves and bars


def redundancy_curves(
    steps: Sequence[int], values: Mapping[str, Sequence[float]], step: int, *, tau: float
) -> go.Figure:
    """A node's redundancy by both estimators over the steps of a run, with a step marked.

    ``tau``: the share of its mass that a node needs.
    """
    titles = {"circuit": "circuit", "mass": mass_name(tau)}
    figure = go.Figure()
    for (name, line), colour, dash, symbol in zip(
        values.items(), (BLUE, ORANGE), ("solid", "dash"), ("circle", "square"), strict=True
    ):
        figure.add_scatter(
            x=list(steps),
            y=list(line),
            name=titles[name],
            mode="lines+markers",
            line={"color": colour, "width": 2, "dash": dash},
            marker={"symbol": symbol, "size": 6},
            hovertemplate=f"step %{{x}}: %{{y:.3f}} ({titles[name]})<extra></extra>",
        )
    figure.add_vline(x=step, line={"color": GREY, "width": 1.5, "dash": "dot"})
    figure.add_annotation(
        x=step, y=1.04, yref="paper", text=f"step {step}", showarrow=False, yanchor="bottom"
    )
    figure.update_xaxes(title_text="training step", showgrid=False, rangemode="tozero")
    figure.update_yaxes(title_text="node redundancy", range=[-0.02, 1.04])
    return _laid_out(figure, height=300, legend=True)


def attribution_bars(
    graph: Graph, then: np.ndarray, now: np.ndarray, step: int, node: str = ""
) -> go.Figure:
    """Direct logit attribution [node] at a step and at step 0, of the nodes with the largest.

    ``node`` is among them in any case.
    """
    size = np.nan_to_num(np.fmax(np.abs(then), np.abs(now)))
    chosen = [int(at) for at in np.argsort(-size, kind="stable")[:BARS] if size[at] > 0]
    if node and graph.node(node) not in chosen:
        chosen = [*chosen[: BARS - 1], graph.node(node)]
    names = [graph.nodes[at] for at in chosen]
    names = [f"<b>{name}</b>" if name == node else name for name in names]
    figure = go.Figure()
    sides = [(f"step {step}", now, BLUE), ("step 0", then, GREY)]
    for label, values, colour in sides if step else sides[1:]:
        figure.add_bar(
            x=names,
            y=[float(values[at]) for at in chosen],
            name=label,
            marker_color=colour,
            hovertemplate=f"%{{x}} at {label}: %{{y:+.3f}}<extra></extra>",
        )
    figure.update_yaxes(title_text="logits")
    figure.update_xaxes(showgrid=False)
    figure.update_layout(barmode="group", bargap=0.3)
    return _laid_out(figure, height=300, legend=True)


def _laid_out(figure: go.Figure, *, height: int, legend: bool = False) -> go.Figure:
    return figure.update_layout(
        height=height,
        margin={"l": 10, "r": 10, "t": 34 if legend else 10, "b": 10},
        showlegend=legend,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        plot_bgcolor="rgba(0, 0, 0, 0)",
    )


# ---------------------------------------------------------------------- tables


def edge_tables(
    graph: Graph, node: str, then: Snapshot, now: Snapshot, *, count: int = 8
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The strongest edges into and out of a node in either circuit, by the larger \\|score\\|.

    One row an edge: edge, its score at the step and, at a later one than the first, its score at
    the first, the change, and in which circuit it is.
    A shared key or value slot counts as an input of every head that it feeds.
    """
    incoming = graph.exists & graph.feeds[:, graph.node(node)]
    outgoing = np.zeros_like(graph.exists)
    if node in graph.sources:
        outgoing[graph.source(node)] = graph.exists[graph.source(node)]
    return tuple(_edges(graph, mask, then, now, count) for mask in (incoming, outgoing))


def _edges(
    graph: Graph, mask: np.ndarray, then: Snapshot, now: Snapshot, count: int
) -> pd.DataFrame:
    either = mask & (then.circuit | now.circuit)
    places = np.argwhere(either)
    size = np.fmax(np.abs(then.scores), np.abs(now.scores))[either]
    order = np.argsort(-np.nan_to_num(size), kind="stable")[:count]
    first, last = f"step {then.step}", f"step {now.step}"
    inside = {(True, True): "at both", (True, False): f"at {first}", (False, True): f"at {last}"}
    rows = []
    for row, column in places[order]:
        one, other = float(then.scores[row, column]), float(now.scores[row, column])
        found = {"edge": graph.edge_name(row, column), last: other}
        if then.step != now.step:
            state = bool(then.circuit[row, column]), bool(now.circuit[row, column])
            found |= {first: one, "change": other - one, "in the circuit": inside[state]}
        rows.append(found)
    return pd.DataFrame(rows)


def predictions(sides: Mapping[str, Sequence[tuple[str, float]]]) -> pd.DataFrame:
    """Likeliest next tokens side by side, by rank: token and probability of each named side."""
    columns: dict[str, list[Any]] = {}
    for name, found in sides.items():
        columns[name] = [visible(token, longest=40) for token, _ in found]
        columns[f"p, {name}"] = [p for _, p in found]
    length = max((len(column) for column in columns.values()), default=0)
    padded = {name: [*v, *[None] * (length - len(v))] for name, v in columns.items()}
    return pd.DataFrame(padded, index=pd.RangeIndex(1, length + 1, name="rank"))


def neuron_table(neurons: Sequence[Any]) -> pd.DataFrame:
    """One row a neuron, each as in `ctviz.inspection.answers.Neuron`."""
    rows = [
        {
            "neuron": neuron.index,
            "effect": neuron.attribution,
            "activation": neuron.activation,
            "promotes": ", ".join(visible(token).strip() for token, _ in neuron.promotes),
        }
        for neuron in neurons
    ]
    return pd.DataFrame(rows, columns=["neuron", "effect", "activation", "promotes"])


def firing_table(neurons: Sequence[Any]) -> pd.DataFrame:
    """One row a neuron, each as in `ctviz.inspection.answers.NeuronOnTask`."""

    def named(tokens: Sequence[str]) -> str:
        return ", ".join(visible(token).strip() for token in tokens)

    rows = [
        {
            "neuron": neuron.index,
            "activation": neuron.firings[0].activation,
            "fires most at": _fired_at(neuron.firings[0].tokens),
            "and at": " · ".join(
                f"{_fired_at(firing.tokens)} {firing.activation:+.2f}".replace("-", "−")
                for firing in neuron.firings[1:]
            ),
            "raises": named(neuron.raises),
            "lowers": named(neuron.lowers),
        }
        for neuron in neurons
    ]
    columns = ["neuron", "activation", "fires most at", "and at", "raises", "lowers"]
    return pd.DataFrame(rows, columns=columns)


def _fired_at(tokens: Sequence[str]) -> str:
    """A text whose last token is marked: the keys to the «cabinet»."""
    *before, last = (visible(token, longest=40) for token in tokens)
    text = " ".join("".join(before).split())
    return f"{text} «{last.strip()}»".strip()


def promoted(up: Sequence[tuple[str, float]], down: Sequence[tuple[str, float]]) -> pd.DataFrame:
    """What a node's output promotes and suppresses: two tokens and their logits a row."""
    rows = [
        {"promotes": visible(a, longest=40), "+": x, "suppresses": visible(b, longest=40), "-": y}
        for (a, x), (b, y) in zip(up, down, strict=True)
    ]
    return pd.DataFrame(rows, columns=["promotes", "+", "suppresses", "-"])
