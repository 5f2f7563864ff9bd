# `make` builds the book, `make test` passes the tests; each sets up everything itself.
UV := .venv/bin/uv
.PHONY: env test
env: .venv/.synced
test: .venv/.synced
	.venv/bin/python -m pytest
.venv/.synced: requirements.lock pyproject.toml
	python3 -m venv .venv
	.venv/bin/pip install --quiet 'uv>=0.9,<1'
	$(UV) pip sync --quiet requirements.lock
	$(UV) pip install --quiet --no-deps --no-build-isolation -e .
	touch $@
