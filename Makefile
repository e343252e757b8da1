# Needs git, make, Go and a Python from 3.10 on with venv and pip. Everything
# else is made below .build/ by tests/checks/environments.py, pinned by
# tests/requirements/*.txt. Which Python starts it: make PYTHON=/path/to/python3
PYTHON ?= python3
MAKEFLAGS += --no-print-directory

ENV := $(PYTHON) tests/checks/environments.py
RUN := .build/venv/bin/python tests/checks/run.py
CLUSTER := $(PYTHON) tests/cluster/cluster.py
NODE := $(PYTHON) tests/cluster/node.py

# For what a person would run by hand with the environment switched on.
WITH_ENV := PATH="$(CURDIR)/.build/venv/bin:$$PATH" \
	ANSIBLE_COLLECTIONS_PATH="$(CURDIR)/.build/collections"

.DEFAULT_GOAL := help
.PHONY: help env demo test test-faults test-node lint units integration molecule \
	lanes bench build cluster cluster-down cluster-node cluster-node-down changelog \
	requirements clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.* ## /\1\t/p' Makefile | expand -t 20

demo: env ## release an application on the embedded cluster and watch every step
	@$(WITH_ENV) examples/demo/run

test: env ## everything: checks, units, integration, Molecule, lanes, the built tarball
	@$(RUN) all

test-faults: env ## every request of an update, an abort and a rollback meets every fault
	@$(RUN) faults

test-node: env ## the tests with real traffic, on one real node (needs root)
	@$(RUN) node

lint: env ## style, types, documentation and Ansible's rules, without a cluster
	@$(RUN) lint

units: env ## the unit tests
	@$(RUN) units

integration: env ## the tests on a real Kubernetes API (KUBECONFIG, else the embedded cluster)
	@$(RUN) integration

molecule: env ## the Molecule scenarios, one a user story
	@$(RUN) molecule

lanes: env ## units and the main paths on the older ansible-core and Python
	@$(RUN) lanes

bench: env ## what an update costs, beside no-op tasks and hand-written ones
	@$(WITH_ENV) .build/venv/bin/python tests/benchmark/bench.py

build: env ## the collection's tarball, in .build/dist, as galaxy-importer accepts it
	@$(RUN) build

cluster: ## start the embedded cluster; the last line is its kubeconfig's path
	@$(CLUSTER) up

cluster-down: ## end the embedded cluster
	@$(CLUSTER) down

cluster-node: ## start a cluster with one real node, as root; the last line is as above
	@$(NODE) up

cluster-node-down: ## end it, and undo what it changed on the machine
	@$(NODE) down

env: ## make or refresh the environment that the other targets run in
	@$(ENV) main

changelog: env ## write the fragments into the entry of galaxy.yml's version, and CHANGELOG.md
	@$(WITH_ENV) antsibull-changelog release --update-existing --reload-plugins

requirements: ## pin tests/requirements/*.in anew
	@$(ENV) --lock

clean: ## remove .build: environments, reports, the tarball
	@rm -rf .build
