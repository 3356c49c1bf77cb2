# ViViT Lab: `make lab` to learn, `make test` to check. Plain `make` lists everything.
# Every target makes its own .venv; a stamp file in it says what was installed, so that pip
# runs again only when pyproject.toml or constraints.txt changed. Works with GNU make 3.81 (macOS).

PY := .venv/bin/python
SETTINGS := .venv/share/jupyter/lab/settings/overrides.json
HOW_LONG = $(if $(wildcard .venv/lab.stamp),under a minute,3 to 5 minutes; with CUDA, on Linux, 2.6 GB to fetch, 6 GB on disk)

# How long an idle thread of torch keeps its core busy (GNU OpenMP). By default it is so long that two
# trainings at once, of two threads on two cores each, take 18 times as long as one; so it is twice.
GOMP_SPINCOUNT ?= 1000
export GOMP_SPINCOUNT

.DEFAULT_GOAL := help
.PHONY: help lab test notebooks bench bounds lint chromium clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@echo 'make lab         open the notebooks in JupyterLab        (LAB_FLAGS="--no-browser --port=8899")'
	@echo 'make test        ruff, then every test                   (NO_BROWSER=1 leaves the browser tests out;'
	@echo '                                                          PYTEST_FLAGS="-k tubelet" picks some)'
	@echo 'make lint        ruff alone, in a second'
	@echo 'make notebooks   build notebooks/*.ipynb from notebooks/src, with outputs'
	@echo 'make bench       time this package beside others'
	@echo 'make bounds      before a release: the suite on each Python and on the lowest versions allowed'
	@echo 'make clean       remove .venv, caches and artefacts'
	@echo
	@echo 'PYTHON=python3.12 chooses the interpreter. A third of the size, on Linux without a GPU:'
	@echo 'make lab PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"'

lab: .venv/lab.stamp $(SETTINGS)
	@$(PY) -m jupyterlab $(if $(filter 0,$(shell id -u)),--allow-root) \
	    --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(LAB_FLAGS)

# Two workers of one thread each, a file at a time. The folders, slow ones first, are `testpaths` in
# pyproject.toml; screenshots go to artefacts/.
test: lint $(if $(NO_BROWSER),,chromium) $(SETTINGS)
	@mkdir -p artefacts
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder \
	    $(if $(NO_BROWSER),--deselect=tests/browser) $(PYTEST_FLAGS)

lint: .venv/test.stamp
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

notebooks: .venv/test.stamp
	@$(PY) notebooks/build.py

bench: .venv/bench.stamp chromium $(SETTINGS)
	@$(PY) tests/benchmarks/models.py
	@$(PY) tests/benchmarks/reading.py
	@$(PY) tests/benchmarks/loading.py
	@$(PY) tests/benchmarks/faults.py
	@$(PY) tests/benchmarks/training.py
	@$(PY) tests/benchmarks/slider.py

# By hand (30 minutes, 30 GB): the suite without its browser in a fresh clone of the last commit, with
# each Python that pyproject.toml promises; `lowest` has 3.11 and the lowest versions of all that it
# names. The last result stands in tests/benchmarks/README.md.
BOUNDS := lowest 3.11 3.12 3.13
bounds: .venv/test.stamp
	@$(PY) -m pip install --quiet uv
	@for bound in $(BOUNDS); do \
	    folder=artefacts/bounds/$$bound; rm -rf $$folder; git clone --quiet . $$folder || exit 1; \
	    if [ $$bound = lowest ]; then \
	        python=3.11; .venv/bin/uv pip compile --quiet --no-annotate --no-header --python-version 3.11 \
	            --resolution lowest-direct --extra test --extra bench pyproject.toml \
	            | grep -Ev "^(nvidia-|cuda-|triton)" > $$folder/constraints.txt || exit 1; \
	    else python=$$bound; fi; \
	    echo "== $$bound"; $(MAKE) -C $$folder test PYTHON=python$$python NO_BROWSER=1 || exit 1; \
	done

clean:
	rm -rf .venv artefacts .pytest_cache .ruff_cache .hypothesis *.egg-info
	find notebooks tests vivit_lab -name __pycache__ -prune -exec rm -rf {} +
	find notebooks -name .ipynb_checkpoints -prune -exec rm -rf {} +

# --- a Python that can make an environment ------------------------------------------------------
# Tried by running it: a pyenv shim may be on PATH and yet start nothing; Debian ships a Python
# whose venv lacks ensurepip. Answers with a command, or with "error: " and what to do.
find_python = \
	old=; bare=; \
	for python in $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11 python); do \
	    version=`"$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null` || continue; \
	    if ! "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        old="$${old:-$$python is Python $$version}"; \
	    elif ! "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then \
	        bare="$${bare:-$$python cannot make environments, its venv module is not complete: on Debian or Ubuntu, apt install python$$version-venv}"; \
	    else echo "$$python"; exit; fi; \
	done; \
	if [ -n "$$bare" ]; then echo "error: $$bare"; \
	elif [ -n "$$old" ]; then echo "error: $$old, but ViViT Lab needs 3.11 or newer: install one, or name one with make lab PYTHON=/path/to/python"; \
	else echo "error: $(if $(PYTHON),$(PYTHON) does not start,no Python found): install Python 3.11 or newer from your package manager or python.org"; fi

FOUND = $(eval FOUND := $$(shell $$(find_python)))$(FOUND)

.venv/bin/python:
	$(if $(findstring error: ,$(FOUND)),$(error $(subst error: ,,$(FOUND))))
	@echo "Making .venv with $(FOUND) ..."
	@"$(FOUND)" -m venv --clear .venv

# --- what each target needs: the notebooks; and the tests; and the peers to compare with ----------
# $(1): what to install. pip's own words go to .venv/install.log; shown are the big downloads alone.
# Then all cores compile what pip would compile on one (a few files in there are no Python: -qq).
define install
	@echo "Installing $(1) ($(HOW_LONG)) ..."
	@{ $(PY) -m pip install --disable-pip-version-check --no-compile \
	    -c constraints.txt $(PIP_FLAGS) -e "$(1)" 2>&1 || echo FAILED; } | tee .venv/install.log | while read -r line; do case "$$line" in \
	    Downloading*[0-9][0-9].[0-9]" MB"*) echo "  $$line" ;; \
	    "Installing collected"*) echo "  unpacking, a minute or two without a word ..." ;; \
	    ERROR*) echo "  $$line" >&2 ;; \
	    FAILED) echo "Installing failed: .venv/install.log has the details. Is there a network? If pip found no torch, try another Python: make clean, then make lab PYTHON=python3.12" >&2; exit 1 ;; \
	    esac; done
	@$(PY) -m compileall -qq -j 0 .venv/lib || true
endef

.venv/lab.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(call install,.)
	@touch $@

.venv/test.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(call install,.[test])
	@touch .venv/lab.stamp $@

.venv/bench.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(call install,.[test$(comma)bench])
	@touch .venv/lab.stamp .venv/test.stamp $@

comma := ,

# No question about Jupyter news, none about rebuilding JupyterLab; only for the one in .venv.
$(SETTINGS): Makefile | .venv/bin/python
	@mkdir -p $(@D)
	@echo '{"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}}' > $@
	@echo '{"buildAvailable": false, "buildCheck": false}' > $(@D)/page_config.json

# The browser tests drive a Chromium from PATH, else playwright's own.
chromium: .venv/test.stamp
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
	    command -v $$name >/dev/null 2>&1 && exit 0; done; \
	echo "No Chromium on PATH: asking playwright for its own (once, 170 MB) ..."; \
	$(PY) -m playwright install chromium > .venv/chromium.log 2>&1 || { \
	    echo "No Chromium for the browser tests: install one (Debian: apt install chromium), or leave them out: make test NO_BROWSER=1" >&2; \
	    exit 1; }
