# What a newcomer runs. `make demo` and `make test` work in a fresh clone on a Debian-like machine with Rust, as root (or with
# everything installed); they install what is missing by tests/servers/install.
SHELL := /bin/bash
STORES ?= redis
MYSQL ?= mysql9
SEARCH ?= opensearch2
SERVERS := $(or $(POINTSMAN_SERVERS),$(CURDIR)/target/servers)
BENCH ?=
FUZZ_SECONDS ?= 60
SEEDS ?= 10000

.PHONY: demo test faults simulate lint screens bench bench-mysql bench-elastic sysbench fuzz suites suites-mysql suites-elastic clean-servers

# `make demo STORES="redis mysql elasticsearch"`, `make demo STORES=mysql MYSQL=mariadb`, `make demo STORES=elasticsearch SEARCH=elasticsearch7`.
demo:
	tests/servers/install $(if $(filter redis,$(STORES)),redis7) $(if $(filter mysql,$(STORES)),$(MYSQL)) \
	  $(if $(filter elasticsearch,$(STORES)),$(SEARCH))
	cargo build --release --quiet
	target/release/pointsman demo --stores "$(STORES)" --redis-server $(SERVERS)/redis7/redis-server \
	  --mysql-server $(SERVERS)/$(MYSQL)/$(if $(filter mariadb,$(MYSQL)),mariadbd,mysqld) --search-node $(SERVERS)/$(SEARCH)/node

# Everything on real servers; a test whose server is missing is skipped and named at the end. Leaves nothing running, and checks it.
test:
	tests/run

# Every fault of docs/faults.md on real servers, one after the other (some measure time), and a table of what held; about 25 minutes.
# `make faults FAULT=kill` runs those with that word in their name, `SERVER=valkey` (or redis8) those of Redis on that server.
FAULT ?=
SERVER ?= redis7
faults:
	tests/servers/install $(SERVER) $(if $(filter redis7,$(SERVER)),mysql9 mariadb)
	POINTSMAN_SERVER=$(SERVER) cargo test --test faults -- --include-ignored --test-threads=1 $(if $(FAULT),"$(FAULT)")

# The decision core in virtual time, SEEDS storms of it; `make test` runs 256. POINTSMAN_SEED=n replays one (see its message).
simulate:
	POINTSMAN_SEEDS=$(SEEDS) cargo test --release --lib --quiet storm::tests::every_seed -- --nocapture

# The pictures of docs/screens, from real servers in a real Chromium.
screens:
	tests/servers/install redis7 mysql9 opensearch2 browser
	cargo test --test page --quiet -- --ignored pictures

lint:
	cargo fmt --check
	cargo clippy --all-targets --quiet -- -D warnings
	tests/words

# Timed goals live in docs/BENCHMARKS.md, never in `make test`. `make bench BENCH="--quick --only c50p1"` for a look.
bench:
	tests/servers/install redis7 haproxy nutcracker envoy
	cargo build --release --quiet
	benches/side_by_side $(BENCH)

# MySQL by sysbench, directly, through HAProxy and through Pointsman. `make bench-mysql BENCH="--server mariadb --quick"`.
bench-mysql:
	tests/servers/install mysql9 mariadb haproxy sysbench
	cargo build --release --quiet
	benches/mysql_side_by_side $(BENCH)

# HTTP to a mock and to a real OpenSearch by wrk, directly and through every proxy. `make bench-elastic BENCH="--quick --count"`.
bench-elastic:
	tests/servers/install opensearch2 haproxy nginx envoy wrk
	cargo build --release --quiet
	benches/elastic_side_by_side $(BENCH)

# sysbench with 4 x 100,000 rows through a planned switch, on both flavours, beside a direct run; any error ends it.
sysbench:
	tests/servers/install mysql9 mariadb sysbench
	cargo test --test mysql_sysbench -- --ignored --nocapture --test-threads=1

# Every fuzz target for a while, with the nightly compiler that cargo-fuzz needs (rustup toolchain install nightly).
fuzz: export PATH := $(CURDIR)/target/tools/bin:$(PATH)
fuzz:
	cargo fuzz --version >/dev/null 2>&1 || cargo install --quiet --locked --root target/tools cargo-fuzz
	for target in $$(cargo +nightly fuzz list); do \
	  cargo +nightly fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; done

# Redis's own suite and redis-py's, direct and through Pointsman (some minutes each).
suites:
	tests/servers/install redis7 redis8 redis-source redis-py
	cargo build --release --quiet
	status=0; for server in redis7 redis8; do tests/suites/redis_tcl --server $$server || status=1; done; \
	  tests/suites/redis_py || status=1; exit $$status

# The tests of go-sql-driver, PyMySQL and mysql_async, direct and through Pointsman (some minutes each).
suites-mysql:
	tests/servers/install mysql9 mariadb mysql-drivers
	cargo build --release --quiet
	status=0; for server in mysql9 mariadb; do tests/suites/mysql_drivers --server $$server || status=1; done; exit $$status

# The Go clients' own tests, and the REST tests of OpenSearch and Elasticsearch through the Python clients, all of them with sniffing on.
suites-elastic:
	tests/servers/install opensearch2 elasticsearch7 search-clients
	cargo build --release --quiet
	status=0; for server in opensearch2 elasticsearch7; do tests/suites/search_clients --server $$server || status=1; done; exit $$status

clean-servers:
	rm -rf $(CURDIR)/target/servers $(CURDIR)/target/suites
