"""What the suite runners share: a real server, a Pointsman in front of it, and the comparison of what passed.

A runner runs one suite against a server directly, then the same through Pointsman, and compares the sets of passed tests. A
difference is forgiven only when docs/redis-suites.md names the test between backticks: that page is for users, with the reason.
Results go to target/suites/NAME-SERVER-{direct,pointsman}.{log,passed}.
"""

import argparse
import collections
import contextlib
import functools
import os
import pathlib
import random
import re
import socket
import subprocess
import sys
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
SERVERS = pathlib.Path(os.environ.get("POINTSMAN_SERVERS", REPOSITORY / "target/servers"))
RESULTS = REPOSITORY / "target/suites"
DIFFERENCES = REPOSITORY / "docs/redis-suites.md"


def arguments(purpose, servers=("redis7", "redis8")):
    """The command line that all runners have; a runner may add to it."""
    parser = argparse.ArgumentParser(description=purpose)
    parser.add_argument("--server", default=servers[0], choices=servers)
    parser.add_argument("--only", choices=["direct", "pointsman"], help="one side; compared with the other side's last result")
    parser.add_argument("--pointsman", default=str(REPOSITORY / "target/release/pointsman"), help="the program")
    parser.add_argument("rest", nargs="*", help="more arguments for the suite, after --")
    return parser


# Ports given lately: who got one may not listen on it yet.
GIVEN = collections.deque(maxlen=16)


def free_port():
    """A port that nobody listens on, in `POINTSMAN_TEST_PORTS` if that is set."""
    first, last = map(int, os.environ.get("POINTSMAN_TEST_PORTS", "0-0").split("-"))
    while True:
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", random.randint(first, last)))
            port = listener.getsockname()[1]
            if port not in GIVEN:
                GIVEN.append(port)
                return port


def wait_for_port(port, process, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.settimeout(2)
            connection.sendall(b"PING\r\n")
            if connection.recv(64).startswith(b"+PONG"):
                return
        time.sleep(0.02)
    raise SystemExit(f"{process.args[2:]} does not answer on port {port} (exit code {process.poll()})")


@contextlib.contextmanager
def running(command, **options):
    """A child that ends with this block, and with this process."""
    process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *map(str, command)], **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def finish(command, seconds, **options):
    """Runs to the end, at most so long: a suite that hangs is cut, and what it has not passed counts as lost."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        command = ["setpriv", "--pdeathsig", "KILL", *map(str, command)]
        subprocess.run(command, timeout=seconds, stdin=subprocess.DEVNULL, check=False, **options)


@contextlib.contextmanager
def redis(name, *settings):
    """A server of an installed component; gives its port."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="pointsman-suite-") as folder:
        fixed = ["--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--logfile", f"{folder}/log"]
        with running([SERVERS / name / "redis-server", *settings, *fixed]) as process:
            wait_for_port(port, process)
            yield port


@contextlib.contextmanager
def pointsman(program, node, spare):
    """A Pointsman that routes to `node`; gives its port. `spare` is an empty server: a service has two clusters."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="pointsman-suite-") as folder:
        config = pathlib.Path(folder, "pointsman.toml")
        config.write_text(
            f'state_dir = "{folder}/state"\n'
            f'[admin]\nsocket = "{folder}/admin.sock"\n'
            f'[telemetry]\nlisten = "127.0.0.1:{free_port()}"\n'
            f'[services.suite]\nkind = "redis"\nlisten = ["127.0.0.1:{port}"]\nreplication = "none"\n'
            f'[[services.suite.clusters]]\nname = "main"\nnodes = ["127.0.0.1:{node}"]\n'
            f'[[services.suite.clusters]]\nname = "spare"\nnodes = ["127.0.0.1:{spare}"]\n'
        )
        with open(RESULTS / "pointsman.log", "a") as log:
            with running([program, "run", "--config", config], stdout=log, stderr=log) as process:
                wait_for_port(port, process)
                yield port


@contextlib.contextmanager
def serving(options, settings, through):
    """A fresh server, and in front of it a fresh Pointsman if asked for; gives the port to connect to."""
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(redis(options.server, *settings))
        if through:
            spare = stack.enter_context(redis(options.server, *settings))
            port = stack.enter_context(pointsman(options.pointsman, port, spare))
        yield port


def passed_file(suite, server, side):
    return RESULTS / f"{suite}-{server}-{side}.passed"


def named(server):
    """The tests that docs/redis-suites.md names: for every server, or behind the name for this one."""
    lines = re.findall(r"^- `(.*)`(?: \((\w+) only\))?$", DIFFERENCES.read_text(), re.MULTILINE)
    return {test for test, only in lines if only in ("", server)}


def run(suite, options, settings, execute):
    """Runs both sides (or one) and compares them.

    `execute(endpoint, log, left_out)` gives the set of passed tests; `with endpoint() as port` is `serving`, so that what one
    part of a suite leaves behind or breaks stays there.
    `left_out` are tests that need not be run, because they can't pass on this side.
    """
    RESULTS.mkdir(parents=True, exist_ok=True)
    for side in [options.only] if options.only else ["direct", "pointsman"]:

        endpoint = functools.partial(serving, options, settings, side == "pointsman")
        log = RESULTS / f"{suite}-{options.server}-{side}.log"
        began = time.monotonic()
        passed = execute(endpoint, log, named(options.server) if side == "pointsman" else set())
        passed_file(suite, options.server, side).write_text("".join(f"{name}\n" for name in sorted(passed)))
        print(f"{suite} {options.server} {side}: {len(passed)} passed in {time.monotonic() - began:.0f} s ({log})", flush=True)
    return compare(suite, options.server)


def compare(suite, server):
    """Names what passes direct and not through Pointsman; the exit code of a runner."""
    files = [passed_file(suite, server, side) for side in ("direct", "pointsman")]
    if not all(file.exists() for file in files):
        print(f"{suite} {server}: only one side has been run, nothing compared")
        return 0
    direct, through = (set(file.read_text().splitlines()) for file in files)
    lost = direct - through
    unnamed = lost - named(server)
    for test in sorted(unnamed):
        print(f"fails only through Pointsman: {test}")
    for test in sorted(through & direct & named(server)):
        print(f"named, and passes: {test}")
    counts = f"named {len(lost) - len(unnamed)}, not named {len(unnamed)}"
    print(f"{suite} {server}: direct {len(direct)}, through Pointsman {len(through & direct)}, {counts}")
    if not direct:
        print(f"{suite} {server}: nothing passes direct, so this proves nothing", file=sys.stderr)
        return 1
    return 1 if unnamed else 0
