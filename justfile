# Doors to cargo; every recipe works without `just` as well.

# The doors
doors:
    @just --list

# All tests that need nothing but Rust
test *ARGS:
    cargo test --workspace {{ARGS}}

# Formatting and lints, warnings denied
lint:
    cargo fmt --all --check && cargo clippy --workspace --all-targets -- -D warnings

# An embedded broker, a stand-in StarRocks, and the documentation's example loaded
sandbox *ARGS:
    cargo run --release -p sandbox -- {{ARGS}}

# Write the manual page, the completions, docs/CONFIG.md and the golden help anew
man:
    UPDATE=1 cargo test --test it

# Likewise: one command writes all generated files
completions: man

# Everything that has to pass
ci:
    .ci/run

# Compare `starsink load` with bare librdkafka consumers: real broker, stand-in target
bench *ARGS:
    cargo run --release -p e2e --bin bench -- {{ARGS}}

# What exactly once adds to the time of one batch, in round trips
latency *ARGS:
    cargo run --release -p e2e --bin bench -- {{ARGS}} latency

# End-to-end suite against a real Kafka broker
e2e *ARGS:
    tests/e2e/prerequisites
    cargo test --workspace --test e2e -- {{ARGS}}

# Kill -9 loop over real brokers: KILLS processes, BROKERS 1 or 3; says its seed and its counts
soak KILLS="200" BROKERS="1":
    STARSINK_E2E_KILLS={{KILLS}} STARSINK_E2E_BROKERS={{BROKERS}} \
        cargo test --workspace --test e2e -- exactly_once::processes_killed --nocapture

# The simulator over random schedules, both ways to load, for SECONDS; says how many and which seeds
soak-sim SECONDS="600" SEED="1":
    STARSINK_SIM_SECONDS={{SECONDS}} STARSINK_SIM_SEED={{SEED}} \
        cargo test --release --workspace --lib delivery::sim -- --nocapture

# A Kafka broker to play with, until interrupted
kafka *ARGS:
    cargo run -p e2e --bin kafka -- {{ARGS}}

# Fuzz one TARGET (properties, json, avro, protobuf, framing); ARGS go to libFuzzer
fuzz TARGET *ARGS:
    tests/fuzz/run {{TARGET}} {{ARGS}}

# Converters and transforms against the Java classes: CASES random chains of 50 records, for each Debezium
differential SEED="1" CASES="1200":
    STARSINK_E2E_SEED={{SEED}} STARSINK_E2E_CASES={{CASES}} \
        cargo test --workspace --test e2e -- differential:: --nocapture
