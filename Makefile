# make app   create the environment if need be, open the app
# make test  create the environment if need be, run every check and test
# make bench measure what the README's performance section quotes
# make bench-reference  the same beside TransformerLens, in an environment of its own

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501
TL ?= 3.9

.PHONY: app test check javascript bench bench-reference clean

app: $(VENV)/.installed
	$(BIN)/ctviz app --port $(PORT)

test: check javascript
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

check: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# What checks the browser code; without npm its tests are skipped, and say so.
javascript:
	if command -v npm >/dev/null; then $(MAKE) --no-print-directory node_modules/.installed; fi

node_modules/.installed: package.json
	npm install --no-package-lock --no-audit --no-fund --loglevel=error
	touch $@

bench: $(VENV)/.installed
	for shape in tiny smollm2-135m gpt2-small; do \
	  $(BIN)/ctviz bench attribution --shape $$shape || exit 1; done
	$(BIN)/ctviz bench attribution --batch 8 --tokens 128
	for shape in tiny gpt2-small; do \
	  $(BIN)/ctviz bench attribution --shape $$shape --method eap-ig || exit 1; done
	$(BIN)/ctviz bench scaling
	for shape in tiny smollm2-135m; do $(BIN)/ctviz bench tuning --shape $$shape || exit 1; done
	$(BIN)/ctviz bench app
	$(BIN)/ctviz bench player

bench-reference: $(VENV)/.installed
	test -x .venv-tl$(TL)/bin/python || $(PYTHON) -m venv .venv-tl$(TL)
	.venv-tl$(TL)/bin/python -m pip install --quiet -c constraints.txt torch==2.13.0
	.venv-tl$(TL)/bin/python -m pip install --quiet -c constraints.txt -e . 'transformer-lens==$(TL).*'
	.venv-tl$(TL)/bin/ctviz bench attribution --shape gpt2-small
	.venv-tl$(TL)/bin/ctviz bench attribution --shape gpt2-small --batch 8 --tokens 128

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

clean:
	rm -rf $(VENV) .venv-tl* node_modules build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
