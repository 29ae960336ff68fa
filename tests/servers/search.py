"""Starts a real OpenSearch or Elasticsearch cluster for the suites and the benchmarks, with data folders that end with it.

In: the installed component (`opensearch2`, `elasticsearch7`, `opensearch3`), how many nodes, settings. Out: the HTTP ports, and a function
that sends a request. The tests in Rust have their own way (tests/common/search_server.rs). Never: a server that somebody else started.
"""

import contextlib
import json
import os
import pathlib
import random
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
SERVERS = pathlib.Path(os.environ.get("POINTSMAN_SERVERS", REPOSITORY / "target/servers"))


def free_port():
    """A port that nobody listens on, in `POINTSMAN_TEST_PORTS` if that is set."""
    first, last = map(int, os.environ.get("POINTSMAN_TEST_PORTS", "12000-30999").split("-"))
    while True:
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", random.randint(first, last)))
            return listener.getsockname()[1]


class Cluster:
    """A running cluster: its component, the HTTP ports of its nodes, and their processes."""

    def __init__(self, component, ports, processes):
        self.component, self.ports, self.processes = component, ports, processes

    def toml(self):
        """The value of `nodes` in a configuration."""
        return json.dumps([f"127.0.0.1:{port}" for port in self.ports])

    def call(self, method, path, body=None, node=0):
        """One request; gives the status and what the JSON of the answer says."""
        return call(self.ports[node], method, path, body)


def call(port, method, path, body=None):
    """One request to a port of this machine; text is sent as lines of JSON, everything else as JSON. Gives the status and the JSON."""
    data = None if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    kind = "application/x-ndjson" if isinstance(body, str) else "application/json"
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": kind} if data else {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, read(answer)
    except urllib.error.HTTPError as error:
        return error.code, read(error)


def read(answer):
    text = answer.read()
    try:
        return json.loads(text)
    except ValueError:
        return text.decode(errors="replace")


@contextlib.contextmanager
def running(component, nodes=1, settings=(), java=None):
    """A fresh cluster whose nodes have all joined. `java` replaces the options of Java, which are for quick starts."""
    with tempfile.TemporaryDirectory(prefix=f"pointsman-search-{os.getpid()}-", ignore_cleanup_errors=True) as folder:
        ports = [(free_port(), free_port()) for _ in range(nodes)]
        seeds = ",".join(str(transport) for _, transport in ports)
        environment = os.environ | ({"NODE_JAVA": java} if java else {})
        with contextlib.ExitStack() as stack:
            processes = []
            for number, (http, transport) in enumerate(ports):
                command = [SERVERS / component / "node", f"{folder}/{number}", pathlib.Path(folder).name, http, transport, seeds, *settings]
                output = stack.enter_context(open(f"{folder}/{number}.log", "w"))
                command = ["setpriv", "--pdeathsig", "KILL", *map(str, command)]
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
                stack.callback(lambda process=process: (process.kill(), process.wait()))
                processes.append(process)
            cluster = Cluster(component, [http for http, _ in ports], processes)
            wait_until_it_is_whole(cluster, pathlib.Path(folder, "0.log"))
            yield cluster


def wait_until_it_is_whole(cluster, log, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end and all(process.poll() is None for process in cluster.processes):
        with contextlib.suppress(OSError):
            status, health = cluster.call("GET", "/_cluster/health?timeout=0s")
            if status == 200 and health["number_of_nodes"] == len(cluster.ports) and health["status"] != "red":
                return
        time.sleep(0.1)
    raise SystemExit(f"{cluster.component} does not start:\n{log.read_text()[-3000:]}")
