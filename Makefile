# make run | test | test-cluster | lint | bench | validate | clean; PYTHON=/path/to/python3 chooses the interpreter.
# Needs Python 3.11 or newer, git and make; the rest goes into .venv.

python := .venv/bin/python

# Two installations into one .venv must not run at once.
.NOTPARALLEL:
.PHONY: run test test-cluster lint bench validate clean install install-dev

run: install
	$(python) -m iomtwin run teaching-hospital

test: lint
	$(python) -m pytest -n auto --dist worksteal

# Against the cluster that KUBECONFIG names, or against a control plane that is built once, in some ten minutes.
test-cluster: install-dev
	@if [ -z "$$KUBECONFIG" ]; then sh tests/cluster/build_control_plane.sh; fi
	$(python) -m pytest -m cluster tests/cluster

lint: install-dev
	$(python) -m ruff check
	$(python) -m mypy
	.venv/bin/lint-imports --no-logo

bench: install-dev
	$(python) benchmarks/bench_engine.py
	$(python) benchmarks/bench_broker.py
	$(python) benchmarks/bench_paced.py

# An hour for each; nothing else may run meanwhile.
validate: install-dev
	$(python) -m iomtwin validate --out results/validation-local
	$(python) -m iomtwin validate --inventory local-padded --out results/validation-local-padded

# The script decides whether there is anything to do: make's time stamps do not survive a copied checkout.
install:
	@sh tools/bootstrap.sh

install-dev:
	@sh tools/bootstrap.sh dev

# Results are the user's: they stay.
clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
