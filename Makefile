# make app   create the environment if need be, open the app
# make test  create the environment if need be, run every check and test
# make fast  the tests that need neither a browser nor SmolLM2 nor much time
# make coverage  at least 95 % of the lines and branches of each package that runs no model
# make bench measure what docs/benchmarks.md quotes
# make bench-reference  the same beside TransformerLens, in an environment of its own

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501
TL ?= 3.9

# what runs no model: neither torch nor a browser
PURE := errors paths files progress look english circuits tasks runs views lessons export

.PHONY: app test fast coverage check javascript bench bench-reference clean

app: $(VENV)/.installed
	$(BIN)/ctviz app --port $(PORT)

test: check javascript
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

check: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fast: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2 -m "not browser and not smollm2 and not wheel and not slow" --dist loadfile

coverage: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2 -m "not browser and not smollm2 and not wheel and not slow" --dist loadfile \
	  --cov --cov-report= tests/field \
	  $(wildcard $(foreach part,$(PURE),tests/test_$(part).py tests/$(part)))
	for part in $(PURE); do \
	  $(BIN)/coverage report --show-missing --skip-covered --fail-under=95 \
	    --include="ctviz/$$part.py,ctviz/$$part/*" || exit 1; done

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
	for shape in tiny smollm2-135m; do $(BIN)/ctviz bench run --shape $$shape || exit 1; done
	$(BIN)/ctviz bench app
	$(BIN)/ctviz bench player

bench-reference: $(VENV)/.installed
	test -x .venv-tl$(TL)/bin/python || $(PYTHON) -m venv .venv-tl$(TL)
	.venv-tl$(TL)/bin/python -m pip install --quiet -c constraints.txt -e . 'transformer-lens==$(TL).*'
	.venv-tl$(TL)/bin/ctviz bench attribution --shape gpt2-small
	.venv-tl$(TL)/bin/ctviz bench attribution --shape gpt2-small --batch 8 --tokens 128

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

clean:
	rm -rf $(VENV) .venv-tl* node_modules build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
