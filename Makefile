# The verbs of LoRA Lessons. `make` alone lists them.
# On Windows, where there is no make, README.md gives the same steps as commands.

PYTHON ?= python3
# Which build of torch: auto (CUDA where there is an NVIDIA GPU, else CPU), cpu or cuda.
TORCH ?= auto

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
NN ?=
# `auto` is content with the build that an earlier call chose.
TORCH_STAMP := $(if $(filter auto,$(TORCH)),$(firstword $(wildcard $(VENV)/.torch-*)))
TORCH_STAMP := $(or $(TORCH_STAMP),$(VENV)/.torch-$(TORCH))

.DEFAULT_GOAL := help
.PHONY: help lab test nightly lessons check release classroom-wheel site tables doctor lint format clean

help: ## list the verbs
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

lab: $(VENV)/.learner ## build the environment and open JupyterLab where you stopped
	-$(BIN)/lora-lessons models add smollm2
	$(BIN)/lora-lessons lab

test: $(VENV)/.developer $(VENV)/.quantized ## build the environment and run every test, every notebook included
	$(BIN)/python tools/run_tests.py

nightly: $(VENV)/.developer $(VENV)/.quantized ## the same with the long matrices
	$(BIN)/python tools/run_tests.py --nightly

lessons: $(VENV)/.developer ## make learner's copies, executed solutions and key (NN="00 01": only these)
	$(BIN)/python tools/build_lessons.py all $(NN)

check: $(VENV)/.developer ## name every generated copy that differs from its source
	$(BIN)/python tools/build_lessons.py check $(NN)

release: $(VENV)/.developer ## make the teacher's nbgrader folder, release/ (NN=01: only that lesson)
	$(BIN)/python tools/build_lessons.py release $(NN)

classroom-wheel: $(VENV)/.developer ## build the wheel without solutions, for students, in dist/classroom/
	LORA_LESSONS_CLASSROOM=1 $(BIN)/python -m build --wheel --no-isolation --outdir dist/classroom

site: $(VENV)/.developer ## build the course's site, offline, in build/site/html
	$(BIN)/python website/build.py

tables: $(VENV)/.developer ## put the benchmarks' stored results into docs/training.md
	$(BIN)/python tools/benchmark_page.py --write

doctor: $(VENV)/.learner ## say what is missing on this machine and how to get it
	$(BIN)/lora-lessons doctor

lint: $(VENV)/.developer ## look at style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.developer ## put style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the environment and what was built; never my-lessons/ or release/
	rm -rf $(VENV) dist build .pytest_cache .ruff_cache .mypy_cache

# The environment. A stamp is touched last, so an install that stopped half way is done again.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 lab"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(TORCH_STAMP): constraints.txt | $(VENV)/bin/python
	$(BIN)/python tools/install_torch.py --build $(TORCH)
	rm -f $(VENV)/.torch-*
	touch $@

$(VENV)/.learner: pyproject.toml constraints.txt $(TORCH_STAMP)
	$(PIP) install --quiet -c constraints.txt -e '.[lab,models]'
	touch $@

$(VENV)/.developer: pyproject.toml constraints.txt $(TORCH_STAMP)
	$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	touch $@

# For the tests of quantized bases alone; tools/run_tests.py says why they are kept apart.
$(VENV)/.quantized: constraints.txt $(TORCH_STAMP)
	$(PIP) install --quiet --no-deps --upgrade -c constraints.txt --target $(VENV)/quantized bitsandbytes torchao
	touch $@
