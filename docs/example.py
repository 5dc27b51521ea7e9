# %% [markdown]
# # ctviz in ten minutes
#
# Find the circuit of a task in a language model, test it, tune only that circuit, and watch what
# changes. Each block below is a cell: open this file in a notebook or an editor that knows `# %%`,
# or run it as a script. It needs no network: the model `tiny` comes with the package.

# %%
import ctviz

model = ctviz.load("tiny")  # or a folder, a hub id, or a transformers model with tokenizer=
task = ctviz.task("sva")  # or a file of your own
for pair in task.pairs(3, split="dev"):
    print(repr(pair.clean), "->", repr(pair.answer), "not", repr(pair.foil))

# %% [markdown]
# ## Discover
#
# Every edge between heads and MLPs gets a score, in logits: positive where it supports the
# behaviour. The circuit is the forty edges of largest |score|. As a cell's last value it shows as a
# picture.

# %%
found = ctviz.discover(model, task, edges=40, examples=32)
found

# %%
found.frame().head(10)

# %% [markdown]
# ## Test it
#
# The circuit alone should do what the model does, and everything outside of it nothing.

# %%
tested = ctviz.evaluate(model, task, found, examples=32)
tested.frame()

# %% [markdown]
# ## Tune only the circuit
#
# Twelve steps that teach the model to disagree. A parameter that the circuit does not own at a step
# does not move at that step.

# %%
run = ctviz.tune("tiny", "sva-flip", steps=12, edges=40, learning_rate=1e-3, snapshot_every=3)
run.frame()[["step", "metric", "faithfulness", "outside_moved"]].tail()

# %% [markdown]
# ## Watch
#
# As a cell's last value, a run is its player; `run.show(step=6)` opens it at a step.

# %%
run

# %%
ctviz.runs()
