# Doors to cargo; every recipe works without `just` as well.

# Compare `starsink load` with bare librdkafka consumers: real broker, stand-in target
bench *ARGS:
    cargo run --release -p e2e --bin bench -- {{ARGS}}

# End-to-end suite against a real Kafka broker
e2e *ARGS:
    tests/e2e/prerequisites
    cargo test -p e2e --test e2e -- {{ARGS}}

# A Kafka broker to play with, until interrupted
kafka *ARGS:
    cargo run -p e2e --bin kafka -- {{ARGS}}
