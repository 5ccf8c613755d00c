# flowdump: two commands do everything on a fresh machine: `make demo` and `make test`.

PREFIX  ?= /usr/local
DESTDIR ?=
CARGO   ?= cargo
# Where cargo isn't in PATH yet (just installed by rustup).
export PATH := $(HOME)/.cargo/bin:$(PATH)

BINARY   = target/release/flowdump
SUDO     = $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help demo test build install uninstall deps test-deps bench instructions lint setcap completions clean

help:
	@echo "make demo      install what is missing, build, show a real capture"
	@echo "make test      all tests"
	@echo "make build     $(BINARY)"
	@echo "make install   program, man page, completions (PREFIX=$(PREFIX), DESTDIR)"
	@echo "make setcap    let everyone who may run $(BINARY) capture without sudo"
	@echo "make bench     side by side with cp, tcpflow and tshark"
	@echo "make instructions  counts them for the hot path: 5 % more than benches/instructions.tsv fails"
	@echo "make lint      fmt, clippy, licences"

demo: build
	$(BINARY) -c -r tests/captures/demo.pcap
	@echo
	$(BINARY) --summary -r tests/captures/demo.pcap
	@rm -rf target/demo.flows
	$(BINARY) -r tests/captures/demo.pcap -o target/demo.flows
	ls -l target/demo.flows

build: deps
	$(CARGO) build --release --locked

# Only what is missing is installed, so that a machine that has all of it needs no root.
deps:
	@sh tests/deps.sh build

test-deps:
	@sh tests/deps.sh test

test: deps test-deps
	$(CARGO) test --locked --workspace

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny check; else echo "cargo-deny is not installed: licences not checked (cargo install cargo-deny)"; fi
	@if command -v mandoc >/dev/null; then mandoc -T lint -W warning man/flowdump.1; fi

bench: build
	benches/run.sh

instructions: build test-deps
	benches/instructions.sh

completions: build
	mkdir -p target/completions
	$(BINARY) --completions bash > target/completions/flowdump
	$(BINARY) --completions zsh  > target/completions/_flowdump
	$(BINARY) --completions fish > target/completions/flowdump.fish

# No `build` here: `make build && sudo make install` must not build as root.
install:
	@test -x $(BINARY) || { echo "run \`make build\` first"; exit 1; }
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 \
	    $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
	    $(DESTDIR)$(PREFIX)/share/zsh/site-functions \
	    $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	install -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/flowdump
	install -m 644 man/flowdump.1 $(DESTDIR)$(PREFIX)/share/man/man1/flowdump.1
	$(BINARY) --completions bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/flowdump
	$(BINARY) --completions zsh  > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_flowdump
	$(BINARY) --completions fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/flowdump.fish

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/flowdump $(DESTDIR)$(PREFIX)/share/man/man1/flowdump.1 \
	    $(DESTDIR)$(PREFIX)/share/bash-completion/completions/flowdump \
	    $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_flowdump \
	    $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/flowdump.fish

setcap:
	$(SUDO) setcap cap_net_raw,cap_net_admin+ep $(BINARY)

clean:
	$(CARGO) clean
