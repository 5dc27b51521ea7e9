"""The field's words, each with a definition of one or two sentences and where it comes from.

In a lesson's text ``[[edge]]`` is such a word, and ``[[edge|its edges]]`` the same under other
words. A word is found under its name or an alias, whatever the case.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from ctviz.errors import UnknownName

__all__ = ["TERMS", "Term", "find_term", "search"]


@dataclass(frozen=True, slots=True)
class Term:
    """A word of the field. ``source``: the paper that it comes from, empty where there is none."""

    name: str
    definition: str
    aliases: tuple[str, ...] = ()
    source: str = ""

    @property
    def key(self) -> str:
        """Its name in a link."""
        return self.name.lower().replace(" ", "-")


CIRCUIT_TUNING = "Li et al. 2025, arXiv 2502.06106"
FRAMEWORK = "Elhage et al. 2021, A Mathematical Framework for Transformer Circuits"
EAP = "Syed et al. 2023, arXiv 2310.10348"
EAP_IG = "Hanna et al. 2024, arXiv 2403.17806"
MIB = "Mueller et al. 2025, arXiv 2504.13151"

TERMS: tuple[Term, ...] = (
    # ------------------------------------------------------------------ the model
    Term(
        "token",
        "A piece of text that the model reads as one unit: a word, part of a word, a sign.",
        ("tokens",),
    ),
    Term(
        "residual stream",
        "The one vector at each token that all parts of a transformer read from and add to. "
        "Whatever one part tells another goes through it.",
        ("the stream",),
        FRAMEWORK,
    ),
    Term(
        "node",
        "Something that writes to or reads the residual stream: the input, an attention head "
        "such as a2.h1 (layer 2, head 1, counted from 0), an MLP such as m3, the logits.",
        ("nodes",),
    ),
    Term(
        "attention head",
        "A part of a layer that moves information between tokens: at each token it decides "
        "which earlier tokens to look at, and adds something of what stands there.",
        ("head", "heads", "attention heads", "attention"),
        "Vaswani et al. 2017, arXiv 1706.03762",
    ),
    Term(
        "attention pattern",
        "For each token, how a head shares its attention among that token and the earlier ones; "
        "the shares add up to 1.",
        ("attention patterns", "pattern"),
    ),
    Term(
        "query",
        "What a head asks for at the token where it writes. The match of query and key decides "
        "how much is looked at.",
        ("queries", "q"),
    ),
    Term(
        "key",
        "What each token offers a head to be found by, compared with the query.",
        ("keys", "k"),
    ),
    Term(
        "value",
        "What a head carries over from the tokens that it looks at.",
        ("values", "v"),
    ),
    Term(
        "slot",
        "A place where an edge ends. A head has three, for query, key and value; an MLP and the "
        "logits have one each.",
        ("slots", "destination slot"),
    ),
    Term(
        "shared key/value head",
        "With grouped-query attention several heads use the same keys and values. ctviz shows "
        "them as one slot, such as a1.g0<k>.",
        ("grouped-query attention", "GQA", "group of heads"),
        "Ainslie et al. 2023, arXiv 2305.13245",
    ),
    Term(
        "MLP",
        "The part of a layer that computes at each token by itself, from what the residual "
        "stream holds there; it cannot look at other tokens.",
        ("MLPs", "multilayer perceptron", "feed-forward layer"),
    ),
    Term(
        "logits",
        "One number for each token of the vocabulary, from which the probabilities of the next "
        "token are made. The last node of the graph.",
        ("logit",),
    ),
    Term(
        "layer",
        "A row of heads followed by an MLP. A layer reads what the layers before it have written.",
        ("layers", "block"),
    ),
    Term(
        "parameter",
        "One of the numbers that training changes; all of them together are the model.",
        ("parameters", "weights"),
    ),
    # ------------------------------------------------------------------ circuits
    Term(
        "edge",
        "A way from one node to a slot of a later one, such as a0.h3->a1.h0<q>: the part of what "
        "the second reads that the first wrote.",
        ("edges",),
        FRAMEWORK,
    ),
    Term(
        "circuit",
        "A set of edges that is said to carry a behaviour. Here: the edges of largest |score|, "
        "as many as asked for or all above a threshold.",
        ("circuits",),
        "Wang et al. 2022, arXiv 2211.00593",
    ),
    Term("clean prompt", "The prompt whose behaviour is to be explained.", ("clean",)),
    Term(
        "counterfactual prompt",
        "The clean prompt with as little changed as is needed for another answer, such as the "
        "subject in the other number.",
        ("corrupt prompt", "counterfactual", "corrupt prompts"),
    ),
    Term(
        "corrupted",
        "A source that is corrupted writes what it would write on the counterfactual prompt, or "
        "its mean, or zero, instead of what it writes on the clean one.",
        ("corrupt", "corrupting", "ablation", "ablated"),
    ),
    Term(
        "metric",
        "What is measured of a prediction, higher is better. By default the logit difference; "
        "also the difference of probabilities (of all right answers less all wrong ones, where a "
        "task names them), the answer's log-probability, or -KL from the clean run.",
        ("metrics",),
    ),
    Term(
        "logit difference",
        "logit(answer) - logit(foil): how much the model prefers the answer to one wrong answer.",
        ("foil",),
    ),
    Term(
        "score",
        "metric(clean) - metric(that edge alone corrupted), the mean over examples. Positive: "
        "the edge supports the behaviour. Negative: it works against it.",
        ("scores", "|score|", "strength"),
        EAP,
    ),
    Term(
        "activation patching",
        "Replacing what a part of the model writes by what it writes on another prompt, and "
        "looking at what happens. Exact, but it takes a run for each part.",
        ("patching", "exact", "interchange intervention"),
        "Vig et al. 2020, arXiv 2004.12265",
    ),
    Term(
        "attribution patching",
        "An estimate of all scores at once: the change of what the source writes times the "
        "gradient of the metric where it is read. To first order it is what patching would give.",
        ("EAP", "edge attribution patching"),
        EAP,
    ),
    Term(
        "EAP-IG",
        "Attribution patching with gradients that are averaged over five inputs on the way from "
        "the corrupted to the clean one, for where one gradient is a poor guide. The clean one is "
        "among them as in the paper, or the corrupted one as in the code of EAP-IG.",
        ("integrated gradients",),
        EAP_IG,
    ),
    Term(
        "±",
        "The standard error of a score or of faithfulness: how far it would move with other "
        "examples of the same task. After a mean over random draws: their standard deviation.",
        ("standard error", "standard errors"),
    ),
    Term(
        "noise band",
        "Two standard errors of a difference. A change inside it may come from the choice of "
        "examples alone, and is not counted as one.",
        ("noise",),
    ),
    Term(
        "grade",
        "How well a model does a task: accuracy, F1, exact match or bias. A score is an edge's, a "
        "grade is a model's.",
        ("grades",),
    ),
    Term(
        "faithfulness",
        "(m(circuit) - m(empty)) / (m(full) - m(empty)), with everything outside the circuit "
        "corrupted: 1 if the circuit alone does what the model does, 0 if it does nothing.",
        ("faithful",),
        "Wang et al. 2022, arXiv 2211.00593; as a ratio in arXiv 2403.17806",
    ),
    Term(
        "completeness",
        "The faithfulness of everything outside the circuit: 0 if nothing of the behaviour was "
        "left out.",
        ("complete",),
        "Wang et al. 2022, arXiv 2211.00593",
    ),
    Term(
        "minimality",
        "Whether each edge of a circuit is needed: what is lost when it alone is taken out.",
        ("minimal",),
        "Wang et al. 2022, arXiv 2211.00593",
    ),
    Term(
        "random circuit",
        "As many edges as the circuit has, drawn at random: what faithfulness is to be compared "
        "with. Connected: each on a path from input to logits. By degrees: the circuit's own edges "
        "exchanged, so that every node keeps their number. Uniform: any edges.",
        ("random circuits",),
    ),
    Term(
        "CPR",
        "Circuit performance ratio: the area under faithfulness over circuit size. Higher is "
        "better.",
        (),
        MIB,
    ),
    Term(
        "CMD",
        "Circuit-model distance: the area between faithfulness and 1 over circuit size. 0 is best.",
        (),
        MIB,
    ),
    Term(
        "composition",
        "A head reading what an earlier head wrote. K-composition: into its keys; Q- and "
        "V-composition: into queries and values.",
        ("K-composition", "Q-composition", "V-composition"),
        FRAMEWORK,
    ),
    Term(
        "previous-token head",
        "A head that looks one token back and notes what stands there.",
        ("previous-token heads",),
        FRAMEWORK,
    ),
    Term(
        "induction head",
        "A head that looks for the place where the current token stood before, and copies what "
        "followed it there.",
        ("induction heads", "induction"),
        "Olsson et al. 2022, arXiv 2209.11895",
    ),
    Term(
        "prefix matching",
        "How much of its attention a head gives, from a word that is said again, to the word that "
        "followed it the first time. ctviz: on rows of seven words at random, said twice.",
        ("prefix-matching score", "matching"),
        "Olsson et al. 2022, arXiv 2209.11895",
    ),
    Term(
        "copying",
        "How much a head makes the word likelier that it looks at: of what it raises among the "
        "words repeated, the share that goes to this one.",
        ("copying score", "copies"),
        "after Olsson et al. 2022, arXiv 2209.11895",
    ),
    Term(
        "phase change",
        "A short stretch of training in which an ability comes nearly at once, such as that to "
        "continue what was there before.",
        ("phase changes",),
        "Olsson et al. 2022, arXiv 2209.11895",
    ),
    Term(
        "agreement",
        "The verb takes the number of its subject: “the turtles beside the pig cry”. A noun in "
        "between that would ask for the other form is an attractor.",
        ("subject-verb agreement", "attractor"),
        "Linzen et al. 2016, arXiv 1611.01368",
    ),
    # ------------------------------------------------------------------ redundancy
    Term(
        "degrees of freedom",
        "D, the number of a node's incoming edges in the full graph.",
        ("D",),
        CIRCUIT_TUNING,
    ),
    Term(
        "intrinsic dimension",
        "d, the number of a node's incoming edges that a task needs. Two estimators say which.",
        ("d",),
        f"{CIRCUIT_TUNING}; the idea: Li et al. 2018, arXiv 1804.08838",
    ),
    Term(
        "node redundancy",
        "(D - d) / D of a node with D incoming edges. Estimator “circuit”: d of them lie in the "
        "circuit. Estimator “mass 90 %”: d is the fewest that carry 90 % of its total |score| "
        "(another share where tau is another).",
        ("redundancy", "redundant"),
        CIRCUIT_TUNING,
    ),
    Term(
        "mass",
        "The total |score| of a node's incoming edges.",
        ("mass 90 %", "estimator mass"),
    ),
    Term(
        "specific",
        "Of a node: it does more for the task than for text in general, as its score beside its "
        "effect on neutral sentences says. 50 % is as much of either; from 67 % on a node is "
        "called specific, up to 33 % shared.",
        ("shared", "effect on general text"),
    ),
    Term(
        "audit",
        "The test of a claim of redundancy: corrupt exactly the edges that it calls redundant, "
        "and look at what happens to the metric; half of them as well, drawn several times, since "
        "effects may cancel.",
        ("audits", "audited"),
    ),
    # ------------------------------------------------------------------ tuning
    Term(
        "circuit-tuning",
        "Repeat: find the circuit on a batch of examples, then update only the parameters that "
        "it owns.",
        (),
        CIRCUIT_TUNING,
    ),
    Term(
        "owned parameters",
        "What a circuit may move: the slices of W_Q, W_K and W_V where a head reads, its rows of "
        "the output projection where it writes, an MLP's input and output projection.",
        ("own", "owns", "owned"),
    ),
    Term(
        "full fine-tuning",
        "Training that may move every parameter of the model.",
        ("fine-tuning",),
    ),
    Term(
        "LoRA",
        "Training a small addition of low rank to each of the model's matrices, which themselves "
        "stay as they are.",
        ("low-rank adaptation",),
        "Hu et al. 2021, arXiv 2106.09685",
    ),
    Term(
        "learning rate",
        "How far one training step moves the parameters.",
        ("rate",),
    ),
    Term(
        "loss",
        "What training makes small: here the cross-entropy of the target, in nats.",
        ("cross-entropy",),
    ),
    Term("training step", "One update of the parameters.", ("step", "steps")),
    Term("run", "The whole sequence of a tuning, on disk.", ("runs",)),
    Term(
        "snapshot",
        "What is recorded at one training step: scores, circuit, redundancy, metrics, probes.",
        ("snapshots",),
    ),
    Term(
        "probe",
        "A fixed prompt whose attention patterns and predictions are stored at each snapshot.",
        ("probes",),
    ),
    Term(
        "overlap",
        "Edges in both of two circuits by edges in either, from 0 to 1; also called Jaccard index.",
        ("Jaccard",),
    ),
    Term(
        "entered, left",
        "An edge that is in the circuit now and was not at the snapshot compared with has "
        "entered; one that was and is not any more has left.",
        ("entered", "left"),
    ),
    Term(
        "retention",
        "What tuning left of everything else: KL divergence on neutral prompts, perplexity of "
        "general English where the model reads it, accuracy on other tasks that it could do.",
        (),
    ),
    Term(
        "forgetting",
        "KL divergence from the untuned model on neutral text, in nats a token: 0 if nothing "
        "changed there.",
        (),
    ),
    Term(
        "KL divergence",
        "How far one probability distribution is from another, in nats; 0 if they are the same.",
        ("KL",),
    ),
    Term(
        "perplexity",
        "How surprised a model is by a text: the exponential of its mean loss a token. Lower is "
        "better.",
        (),
    ),
    Term(
        "accuracy",
        "The share of examples on which the right choice is the likeliest of all choices.",
        (),
    ),
    Term(
        "gain",
        "What tuning has added to the metric: metric(tuned) - metric(untuned). An update carries "
        "the share of it that its transplant reaches alone.",
    ),
    Term(
        "transplant",
        "Putting the update of one node, or of a few, into the untuned model: what that brings "
        "about is what the update carries alone.",
        ("transplanted",),
    ),
    Term(
        "revert",
        "Putting the parameters of one node, or of a few, back to what they were before tuning: "
        "what the tuned model loses is what it needs that update for.",
        ("reverted", "reverting"),
    ),
    # ------------------------------------------------------------------ looking inside
    Term(
        "direct logit attribution",
        "What a node's writing adds by itself to logit(answer) - logit(foil), past all later "
        "nodes.",
        ("DLA",),
        FRAMEWORK,
    ),
    Term(
        "logit lens",
        "Reading the residual stream in the middle of the model as if it were the end, to see "
        "which next token it favours so far.",
        (),
        "nostalgebraist 2020, Interpreting GPT: the logit lens",
    ),
    Term(
        "supernode",
        "Several nodes that a person has put together under a name.",
        ("group", "groups"),
        "Ameisen et al. 2025, Circuit Tracing",
    ),
)


_FOUND = {name.casefold(): term for term in TERMS for name in (term.name, term.key, *term.aliases)}


def find_term(name: str) -> Term:
    """The term of that name or alias; raises UnknownName."""
    exact = [term for term in TERMS if name in (term.name, *term.aliases)]
    term = exact[0] if exact else _FOUND.get(name.strip().casefold())
    if term is None:
        raise UnknownName("term", name, sorted(_FOUND), hint="The glossary lists all of them.")
    return term


def search(text: str) -> list[Term]:
    """The terms that a reader may mean: by name or alias first, then by definition.

    All of them for an empty text. Where nothing contains the text, those of a similar name; none
    if there is nothing similar either.
    """
    asked = text.strip().casefold()
    if not asked:
        return sorted(TERMS, key=lambda term: term.name.casefold())

    def rank(term: Term) -> int | None:
        names = [name.casefold() for name in (term.name, term.key, *term.aliases)]
        if asked in names:
            return 0
        if any(asked in name for name in names):
            return 1
        return 2 if asked in term.definition.casefold() else None

    found = [(place, term.name, term) for term in TERMS if (place := rank(term)) is not None]
    if found:
        return [term for _, _, term in sorted(found, key=lambda item: item[:2])]
    near = difflib.get_close_matches(asked, list(_FOUND), n=5, cutoff=0.6)
    return list(dict.fromkeys(_FOUND[name] for name in near))
