# Every target sets up what it needs; a second run finds it all there. Nothing here touches the machine's own network
# namespace: the lab and the tests make namespaces of their own.
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
# Tests of these tiers mostly wait: for a kernel, a service, a client. They have namespaces of their own, and wait side by side.
SIDE_BY_SIDE := -n 4 --dist worksteal

# Under sudo, what a tool leaves behind in somebody's checkout (caches, compiled modules) is theirs: root's would stop the
# tools of the next run without root. The roots of Debian systems below build stay as they are: their files have owners of
# their own.
ifeq ($(shell id -u),0)
ifneq ($(shell stat -c %u .),0)
GIVE_BACK := ; status=$$?; find . \( -path ./build/roots -o -path ./build/hosts \) -prune -o -exec chown -h --reference=. {} +; exit $$status
endif
endif

.PHONY: help setup run test unit kernel lab test-hosts host check docs deb bench fuzz fuzz-exposure clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup:  ## system packages and .venv
	@scripts/setup

run: setup  ## guard role printum/all-in-one in a disposable network namespace
	@$(PYTHON) -m portguard lab$(GIVE_BACK)

test: setup check unit kernel lab test-hosts  ## every tier

unit: setup  ## tests without root and without a kernel
	@$(PYTHON) -m pytest -q tests -n auto --dist worksteal -m "not kernel and not lab and not host"$(GIVE_BACK)

kernel: setup  ## tests on the real kernel, in network namespaces of their own
	@$(PYTHON) -m pytest -q tests $(SIDE_BY_SIDE) -m kernel$(GIVE_BACK)

lab: setup  ## the whole scenario, end to end
	@$(PYTHON) -m pytest -q tests/lab $(SIDE_BY_SIDE) -m lab$(GIVE_BACK)

test-hosts: deb  ## install, guard, reboot, upgrade and purge on booted Debian 12 and 13
	@scripts/install-packages debootstrap systemd-container util-linux iproute2 nftables
	@PYTHONPATH=tests $(PYTHON) -m host$(GIVE_BACK)

host: deb  ## a shell on a booted host with portguard: make host RELEASE=13
	@scripts/install-packages debootstrap systemd-container util-linux iproute2 nftables
	@PYTHONPATH=tests $(PYTHON) -m host.harness $(RELEASE)$(GIVE_BACK)

check: setup  ## ruff, mypy, and what is generated is up to date
	@.venv/bin/ruff check -q . && .venv/bin/ruff format -q --check . && .venv/bin/mypy$(GIVE_BACK)

docs: setup  ## what is generated from the code and the catalogue
	@$(PYTHON) -m portguard.catalogue.page > docs/ports.md.new && mv docs/ports.md.new docs/ports.md \
	  && $(PYTHON) -m portguard.manual --docs$(GIVE_BACK)

deb: setup  ## the packages for Debian 12 and 13, in build/deb
	@packaging/build$(GIVE_BACK)

bench: setup  ## how fast, how large: measured side by side
	@$(PYTHON) -m bench$(GIVE_BACK)

fuzz: setup  ## a long differential run of the path evaluation against the kernel
	@PORTGUARD_FUZZ_PACKETS=$${PACKETS:-100000} $(PYTHON) -m pytest -q -s tests/kernel -m kernel -k fuzz$(GIVE_BACK)

fuzz-exposure: setup  ## made-up files, titles, arguments and environments against what recognises Redis and JVMs
	@PORTGUARD_FUZZ_EXAMPLES=$${EXAMPLES:-100000} $(PYTHON) -m pytest -q tests/unit/exposure -n 3 -k fuzz$(GIVE_BACK)

clean:  ## all that these targets made
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis src/*.egg-info
