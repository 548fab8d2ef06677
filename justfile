# Every command of this project; `just` alone lists them.

_list:
    @just --list --unsorted

# Formats all Rust code.
fmt:
    cargo fmt --all

# Checks the format and runs clippy on every target of every crate, warnings forbidden.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Runs all tests that need nothing but Rust and a C compiler.
test:
    cargo test --workspace

# Builds the documentation of the crates, warnings forbidden.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# Checks licences, banned crates and sources of all dependencies (cargo-deny).
deny:
    cargo deny --locked check --hide-inclusion-graph bans licenses sources

# Fuzzes each target for a few seconds, on the stable toolchain.
fuzz-smoke seconds="10":
    FUZZ_SECONDS={{ seconds }} cargo test --workspace --locked --test 'fuzz_*' -- --nocapture

# Runs one world from one seed in a debug and in a release build: the traces have to be the same, byte for byte.
determinism seed="7":
    cargo test --locked --workspace --no-run
    cargo build --locked --release --workspace --bin trace
    target/debug/trace {{ seed }} >target/trace-debug.txt
    target/release/trace {{ seed }} >target/trace-release.txt
    cmp target/trace-debug.txt target/trace-release.txt

# Runs simulated fleets: `just sim --seed 42` replays one with its trace, `just sim --pairs 5` runs seeds twice and compares.
sim *arguments:
    cargo run --locked --release --bin sim -- {{ arguments }}

# Runs many simulated fleets on all cores, those that failed before first: `just sim-long --seeds 0..1000`.
sim-long *arguments:
    cargo run --locked --release --bin sim -- --ledger target/sim-ledger.txt {{ arguments }}

# Plays the protocol scripts and writes the traces of those that keep their promises: `git diff` shows what has changed.
protocol-update:
    UPDATE=1 cargo test --locked --package integration-tests --test protocol

# Plants known bugs in a copy of the tree, one after the other, and sees that the simulator catches each (`just planted --help`).
planted *arguments:
    integration-tests/planted/run {{ arguments }}

# Makes a new package with `cargo new` from nothing but testkit's crate page, and runs it.
stranger:
    integration-tests/stranger

# Fetches and builds the peers: the real Java libraries, the emulators, the deaggregators of other languages, the canned service.
peers-build:
    integration-tests/peers/build

# Runs our programs against the peers, in minutes: all scenarios, or those named (`just peers --help`).
peers *arguments: peers-build
    aggregation/interop/run
    integration-tests/peers/run {{ arguments }}

# Runs the conformance suite against the test kit's cloud and against kinesis-local and DynamoDB Local (`just conformance --help`).
conformance *arguments: peers-build
    cargo run --locked --release --bin conformance -- {{ arguments }}

# Writes docs/conformance.md from the checks and the list of known differences.
conformance-page:
    cargo run --locked --release --bin conformance -- --page

# Measures what encoding and decoding cost beside the work that nobody can avoid.
bench:
    cargo run --release -p kinesis-aggregation --example bench

# Measures CPU beside the real KPL (`just bench-peers producer`) or KCL (`consumer`), in one run against the canned service.
bench-peers side *arguments: peers-build
    cargo build --release -p examples --bin load --bin worker
    integration-tests/peers/bench {{ side }} {{ arguments }}

# Shows the main job, whole, on a local cloud inside the program; arguments go to the program.
quickstart *arguments:
    cargo run --release --bin quickstart -- {{ arguments }}

# Does what CI does, from the cheapest check to the dearest; it installs `just` and cargo-deny for itself.
ci:
    .ci/run
