# floatlease: `make help` lists what there is to do.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Tools speak English, for scripts look at what they say; numbers and letters stay as the locale has them.
export LANGUAGE := C
CARGO ?= cargo
CC ?= cc
TARGET := $(or $(CARGO_TARGET_DIR),target)
# What is built for a target that is named goes into a folder of its name.
BUILT := $(TARGET)$(addprefix /,$(CARGO_BUILD_TARGET))
RELEASE := $(BUILT)/release
SANDBOX := $(BUILT)/sandbox
SERVER := $(BUILT)/debug/floatlease-server

# What installs comes before what it is needed for, with -j too. Cargo uses all processors anyway.
.NOTPARALLEL:

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Only install what make test needs (Debian, Ubuntu)
	@scripts/setup

# The library is built alone: an rlib beside it would silently switch link-time optimisation off. The server and the
# sandbox have profiles, and so folders, of their own: as their dependency the library would be built again,
# differently, into the same file.
.PHONY: release
release: library sandbox ## Build the shared and static libraries that ship, in target/release and target/sandbox

.PHONY: library
library:
	@$(CARGO) rustc -p floatlease --release --features quiet --lib --crate-type cdylib,staticlib
	@scripts/built "$(RELEASE)" floatlease

.PHONY: sandbox
sandbox:
	@$(CARGO) build -p floatlease-sandbox --profile sandbox
	@scripts/built "$(SANDBOX)" floatlease_sandbox

.PHONY: server
server: ## Build the server for real use, as target/server/floatlease-server
	@$(CARGO) build -p floatlease-server --profile server

.PHONY: cli
cli: ## Build the command floatlease, as target/cli/floatlease
	@$(CARGO) build -p floatlease-cli --profile cli

.PHONY: header
header: ## Write the headers in include/, and the bindings' tables of statuses, anew
	$(CARGO) test -q -p floatlease -p floatlease-sandbox --test header --test status_tables -- --ignored write_the_header

.PHONY: demo
demo: tools-demo library ## Watch C, C++, C# and Python take, borrow and give back the same license, on a server of its own
	@$(CARGO) build -p floatlease-server
	@scripts/demo "$(SERVER)" "$(RELEASE)"

.PHONY: tools-demo
tools-demo:
	@scripts/setup demo

.PHONY: test
test: setup release test-panic test-loom docs ## Prove everything: unit, C ABI, every language, server, documentation
	@$(CARGO) build --workspace
	@$(CARGO) test --workspace --lib --bins --tests
	@echo "every test passed"

# In the release profile, because that is how the library ships; in a folder of its own, because it must not ship.
.PHONY: test-panic
test-panic:
	@$(CARGO) rustc -p floatlease --release --lib --crate-type cdylib --features quiet,test-panic \
		--target-dir "$(TARGET)/panic"
	@ln -sf libfloatlease.so "$(TARGET)/panic/release/libfloatlease.so.1"

# Every order in which threads can meet: so many that it is optimised. In a folder of its own, for its flag makes all be
# built anew.
.PHONY: test-loom
test-loom:
	@RUSTFLAGS="--cfg loom -D warnings" CARGO_PROFILE_RELEASE_LTO=off $(CARGO) test -q -p floatlease --lib --release --target-dir "$(TARGET)/loom" loom

.PHONY: soak
soak: setup ## Kill, share and interrupt thousands of times more than make test does (some minutes)
	@$(CARGO) build --workspace
	@$(CARGO) test -p floatlease --lib --test sharing --test crashes --test one_folder --test shared_slots --test crowd --test killed_consumers -- --ignored
	@FLOATLEASE_HISTORIES=1000000 $(CARGO) test -p floatlease-server --test order_model

# Needs a second Rust with the sources of its standard library, so it is not part of `make test`; see the script.
.PHONY: test-tsan
test-tsan: ## Leases from many threads for ten seconds, under ThreadSanitizer
	@$(CARGO) build -q -p floatlease-server
	@scripts/tsan 10

# Installs wine64 and a Rust with the sources of its standard library, so it is not part of `make test`; see the script.
.PHONY: test-windows
test-windows: ## The Windows build, driven under Wine (a quarter of an hour)
	@$(CARGO) build -q -p floatlease-server
	@scripts/windows/test

.PHONY: soak-renewals
soak-renewals: library server ## A million renewals of a lease, which must hold no more than the first (a quarter of an hour)
	@python3 benches/renewals.py

.PHONY: soak-clients
soak-clients: library server ## A process with a thousand clients, what they cost and what their close leaves (two minutes)
	@python3 benches/many_clients.py

.PHONY: soak-calls
soak-calls: library server ## What 1, 64 and 1,000 submitted calls hold, and whether 64 at a time are as fast as four (a minute)
	@python3 benches/many_calls.py

# `make dist TARGETS=x86_64-unknown-linux-gnu` makes what this target needs; RELEASE_URL is where the archives will be
# found, for the recipes of Conan and vcpkg.
TARGETS ?=
RELEASE_URL ?=

.PHONY: dist
dist: ## Make everything that is released, in dist/ (half an hour; scripts/dist/setup installs what it takes)
	@rm -rf dist
	@scripts/dist/libraries $(TARGETS)
	@scripts/dist/archive $(TARGETS)
	@scripts/dist/wheels $(TARGETS)
	@scripts/dist/nugets $(TARGETS)
	@scripts/dist/unity-packages $(TARGETS)
	@scripts/dist/recipes $(addprefix --url ,$(RELEASE_URL))
	@cd dist && find . -type f ! -name SHA256SUMS -printf '%P\n' | LC_ALL=C sort | xargs -d '\n' sha256sum >SHA256SUMS
	@ls -l dist

.PHONY: test-dist
test-dist: ## Unpack, build, install and run what is in dist/, as somebody would who has nothing else
	@scripts/dist/setup --check
	@scripts/dist/check $(TARGETS)

# Not a part of `make test-dist`: everything is compiled again, standard library and all.
TWICE := x86_64-unknown-linux-gnu x86_64-pc-windows-gnu
.PHONY: test-dist-twice
test-dist-twice: ## Build once more, of what is committed, in another folder: the same bytes (40 minutes)
	@scripts/dist/rebuild $(or $(TARGETS),$(TWICE))

.PHONY: size
size: ## Write docs/size.md anew, by what was built
	@scripts/dist/ledger

.PHONY: lint
lint: ## Formatting and lints, warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy -q --workspace --all-targets -- -D warnings

.PHONY: bench
bench: setup release server ## Measure, and write docs/figures.md (some minutes, a quiet machine)
	@$(CARGO) build -p floatlease-benches --profile server
	PYTHONUTF8=1 python3 benches/run.py

.PHONY: docs
docs: setup ## Write the documentation as one site, target/site; a warning, or a link that leads nowhere, ends it
	@scripts/docs/build

.PHONY: clean
clean: ## Remove everything that was built
	$(CARGO) clean
