# `make quickstart`: set up and run the main job. `make test`: set up and pass the tests. Second calls are fast.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Dozens of processes of the tests import the same modules.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: quickstart test test-all check format schema site clean fuzz

quickstart: $(READY)
	$(BIN)/clearsight run pipelines/recipes/quickstart.yaml

test: $(READY)
	$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile --no-loadscope-reorder

test-all: $(READY)
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

# Damaged input of every kind: `make fuzz SECONDS=3600 SEED=1`.
SECONDS ?= 60
SEED ?= 0
fuzz: $(READY)
	$(BIN)/python tests/fuzz.py --seconds $(SECONDS) --seed $(SEED)

check: $(READY) .typing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd .typing/copy && ../../$(BIN)/lint-imports --config ../../pyproject.toml --no-cache

# The package as tools that do not read setup.py find it: links for mypy and editors, a copy for import-linter,
# which does not follow links.
.PHONY: .typing
.typing:
	rm -rf .typing && mkdir -p .typing/clearsight .typing/copy
	cd .typing/clearsight && ln -s ../../clearsight/*.py ../../clearsight/py.typed . && \
	    for room in data restore defend pipelines; do ln -s ../../$$room $$room; done
	cp -RL .typing/clearsight .typing/copy/clearsight

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schema: $(READY)
	$(BIN)/clearsight schema --out pipelines/schema

# The documentation as a site, with the API reference: site/index.html.
site: $(READY) .typing
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# The peer that corruptions are compared with asks for opencv-python, which would clobber the headless
# build, and spandrel for torchvision, which it needs at import time only; torchattacks wants torchvision too, and
# pyautoattack names none: all come without their dependencies.
$(READY): pyproject.toml constraints.txt Makefile
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,imagenet,peers,ray,serve]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt imagecorruptions-imaug spandrel einops torchattacks pyautoattack
	touch $(READY)
