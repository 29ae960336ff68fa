"""Starts what is measured: a Redis, and the proxies in front of it, each with the configuration its own documentation suggests."""

import contextlib
import os
import pathlib
import socket
import subprocess
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
SERVERS = pathlib.Path(os.environ.get("POINTSMAN_SERVERS", REPOSITORY / "target/servers"))
POINTSMAN = REPOSITORY / "target/release/pointsman"
# In the order of the report; the first is what the others are compared with.
NAMES = ["direct", "haproxy", "nutcracker", "envoy", "pointsman"]

# Without `maxconn` HAProxy takes as many connections as the file descriptors allow.
HAPROXY = """
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen redis
  bind 127.0.0.1:{listen}
  server one 127.0.0.1:{node}
"""

NUTCRACKER = """
bench:
  listen: 127.0.0.1:{listen}
  redis: true
  preconnect: true
  server_connections: 1
  servers:
   - 127.0.0.1:{node}:1
"""

ENVOY = """
static_resources:
  listeners:
  - name: redis
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {listen} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.redis_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy
          stat_prefix: bench
          settings: {{ op_timeout: 5s }}
          prefix_routes: {{ catch_all_route: {{ cluster: redis }} }}
  clusters:
  - name: redis
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: redis
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {node} }} }} }}
"""

OURS = """
state_dir = "{folder}/state"
[admin]
socket = "{folder}/admin.sock"
[telemetry]
listen = "127.0.0.1:{telemetry}"
log = "warn"
[services.bench]
kind = "redis"
listen = ["127.0.0.1:{listen}"]
replication = "none"
max_connections = 20000
[[services.bench.clusters]]
name = "main"
nodes = ["127.0.0.1:{node}"]
[[services.bench.clusters]]
name = "spare"
nodes = ["127.0.0.1:{spare}"]
"""


class Peer:
    """Something that listens like a Redis: its name, port, process id and version."""

    def __init__(self, name, port, process, version):
        self.name, self.port, self.process, self.version = name, port, process, version

    def cpu_seconds(self):
        """Time on a CPU of all its threads so far, to the nanosecond (the kernel's schedstat, not ticks)."""
        total = 0
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def resident_bytes(self):
        """Resident memory."""
        pages = int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def running(wanted):
    """Starts Redis and the wanted proxies that are installed; gives a list of peers. All end with this block and this process."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pointsman-bench-"))
        redis = start_redis(stack, folder, "node")
        found = [redis]
        for name in NAMES[1:]:
            if name not in wanted:
                continue
            program = POINTSMAN if name == "pointsman" else SERVERS / name / name
            if program.exists():
                found.append(start_proxy(stack, folder, name, program, redis.port))
            else:
                print(f"not measured: {name} ({program} is missing)", flush=True)
        yield found


def start_redis(stack, folder, name):
    port = free_port()
    program = SERVERS / "redis7/redis-server"
    command = [program, "--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--maxclients", 19000]
    process = spawn(stack, command, f"{folder}/{name}.log")
    peer = Peer("direct", port, process, first_line([program, "--version"]))
    wait_until_it_answers(peer, f"{folder}/{name}.log")
    return peer


def start_proxy(stack, folder, name, program, node):
    listen, file, log = free_port(), pathlib.Path(folder, f"{name}.conf"), f"{folder}/{name}.log"
    values = {"listen": listen, "node": node, "folder": folder, "telemetry": free_port()}
    if name == "haproxy":
        text, command, version = HAPROXY, ["-db", "-f", file], ["-v"]
    elif name == "nutcracker":
        text, command, version = NUTCRACKER, ["-c", file, "-s", free_port()], ["-V"]
    elif name == "envoy":
        file = file.with_suffix(".yaml")
        text, version = ENVOY, ["--version"]
        command = ["-c", file, "--disable-hot-restart", "--concurrency", os.cpu_count(), "-l", "error"]
    else:
        text, command, version = OURS, ["run", "--config", file], ["--version"]
        values["spare"] = start_redis(stack, folder, "spare").port
    file.write_text(text.format(**values))
    peer = Peer(name, listen, spawn(stack, [program, *command], log), first_line([program, *version]))
    wait_until_it_answers(peer, log)
    return peer


def spawn(stack, command, log):
    output = stack.enter_context(open(log, "w"))
    command = ["setpriv", "--pdeathsig", "KILL", *map(str, command)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    stack.callback(lambda: (process.kill(), process.wait()))
    return process


def first_line(command):
    """What a program says of its version."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=20)
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    # Envoy begins with the path it was called by.
    return lines[0].removeprefix(str(command[0])).strip() if lines else "unknown"


def wait_until_it_answers(peer, log):
    end = time.monotonic() + 20
    while time.monotonic() < end and peer.process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", peer.port), timeout=2) as connection:
            connection.sendall(b"*2\r\n$3\r\nGET\r\n$1\r\nx\r\n")
            if connection.recv(64).startswith(b"$"):
                return
        time.sleep(0.02)
    raise SystemExit(f"{peer.name} does not answer on port {peer.port}:\n{pathlib.Path(log).read_text()[-2000:]}")
