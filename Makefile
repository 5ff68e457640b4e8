# make demo       a forked call on this machine, and the page that shows it
# make test       linters and tests
# make lint       the linters alone
# make bench      how fast it is
# make test-asan  the tests of the native code, with AddressSanitizer and UBSan watching
# make test-tsan  those of the relay, with ThreadSanitizer watching
# make fuzz       chance inputs to the parsers, for FUZZ_SECONDS each (60)
# make clean      everything away that these have made
#
# Each sets up .venv by itself, and again only when what is built has changed. PYTHON=python3.11 chooses the Python.

SHELL := /bin/bash
PYTHON ?= python3
export PYTHON

SOURCES := pyproject.toml setup.py tools/setup.sh $(wildcard ext/*/* plugins/*/pyproject.toml \
    plugins/*/setup.py plugins/*/ext/*/* src/forkproxy/*/*.pxd src/forkproxy/*/*.h)
# What the build itself writes is no source of it.
SOURCES := $(filter-out %.c,$(SOURCES))

.PHONY: help demo test test-asan test-tsan fuzz lint bench peers setup clean

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

demo: .venv/.demo-done
	@.venv/bin/forkproxy demo $(DEMO)

test: .venv/.dev-done peers
	@tools/test.sh $(TESTS)

test-asan: .venv/.dev-done peers
	@tools/sanitize.sh address $(TESTS)

test-tsan: .venv/.dev-done peers
	@tools/sanitize.sh thread $(TESTS)

fuzz: .venv/.dev-done
	@tools/fuzz.sh $(FUZZ)

lint: .venv/.dev-done
	@tools/lint.sh

bench: .venv/.dev-done
	@tools/peers.sh bench
	@.venv/bin/python -m pytest benchmarks --quiet --no-header -s $(BENCH)

setup: .venv/.dev-done

peers:
	@tools/peers.sh

# The demo's needs are among the tests'.
.venv/.demo-done: $(SOURCES)
	@tools/setup.sh demo

.venv/.dev-done: $(SOURCES)
	@tools/setup.sh dev
	@touch .venv/.demo-done

clean:
	rm -rf .venv build dist demo-out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .benchmarks
	rm -rf src/*.egg-info plugins/*/src/*.egg-info plugins/*/build ext/*/engine.c ext/*/calls.c ext/*/relay.c plugins/*/ext/*/*.c
	find src plugins tests benchmarks -name '__pycache__' -type d -prune -exec rm -rf {} +
	find src plugins -name '*.so' -delete
