"""Starts what benches/elastic_side_by_side measures: a mock of a search server (nginx that answers the same JSON), and the proxies.

Each proxy has the configuration its own documentation suggests for HTTP with kept connections to the server, and a thread a core.
"""

import contextlib
import os
import pathlib
import tempfile
import time
import urllib.request

import peers

# What a search server says of one small document.
DOCUMENT = ('{"_index":"orders","_id":"1","_version":1,"_seq_no":0,"_primary_term":1,"found":true,'
            '"_source":{"customer":"c-4711","state":"paid","total":42.5,"items":[{"sku":"a-1","count":2}]}}')
HEALTH = ('{"cluster_name":"NAME","status":"green","timed_out":false,"number_of_nodes":1,"number_of_data_nodes":1,'
          '"discovered_master":true,"discovered_cluster_manager":true,"active_primary_shards":1,"active_shards":1,"relocating_shards":0,'
          '"initializing_shards":0,"unassigned_shards":0,"delayed_unassigned_shards":0,"number_of_pending_tasks":0,'
          '"number_of_in_flight_fetch":0,"task_max_waiting_in_queue_millis":0,"active_shards_percent_as_number":100.0}')
IDENTITY = ('{"name":"NAME-1","cluster_name":"NAME","cluster_uuid":"uuid-of-NAME","version":{"distribution":"opensearch",'
            '"number":"2.19.1","minimum_wire_compatibility_version":"7.10.0","minimum_index_compatibility_version":"7.0.0"},'
            '"tagline":"The OpenSearch Project: https://opensearch.org/"}')

NGINX = """
daemon off;
worker_processes auto;
worker_rlimit_nofile 65536;
pid {folder}/{name}.pid;
error_log {folder}/{name}.error crit;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  default_type application/json;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/{name}-body;
  proxy_temp_path {folder}/{name}-proxy;
  fastcgi_temp_path {folder}/{name}-fastcgi;
  uwsgi_temp_path {folder}/{name}-uwsgi;
  scgi_temp_path {folder}/{name}-scgi;
  {http}
}}
"""

# Two clusters in one process: what the second one costs is nothing as long as nobody asks it.
MOCK = """
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ return 200 '{document}'; }}
    location = / {{ return 200 '{identity}'; }}
    location /_cluster/health {{ return 200 '{health}'; }}
    location /_cluster/state {{ return 200 '{{"cluster_uuid":"{uuid}","master_node":"one"}}'; }}
    location /_ {{ return 200 '{{}}'; }}
  }}
"""

NGINX_PROXY = """
  upstream search {{ server 127.0.0.1:{node}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{listen} backlog=4096;
    location / {{
      proxy_pass http://search;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      client_max_body_size 0;
    }}
  }}
"""

HAPROXY_HTTP = """
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen search
  bind 127.0.0.1:{listen}
  http-reuse always
  server one 127.0.0.1:{node}
"""

ENVOY = """
static_resources:
  listeners:
  - name: search
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {listen} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          route_config:
            virtual_hosts:
            - {{ name: all, domains: ["*"], routes: [ {{ match: {{ prefix: "/" }}, route: {{ cluster: search, timeout: 0s }} }} ] }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
  clusters:
  - name: search
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: search
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {node} }} }} }}
"""

OURS = """
workers = {workers}
state_dir = "{folder}/{name}-state"
[admin]
socket = "{folder}/{name}.sock"
[telemetry]
listen = "127.0.0.1:{telemetry}"
log = "warn"
[services.bench]
kind = "elasticsearch"
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


class Peer(peers.Peer):
    """A peer whose processes are several: nginx has a master and workers."""

    def pids(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def cpu_seconds(self):
        total = 0
        for pid in self.pids():
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9


@contextlib.contextmanager
def workshop():
    """A folder and a stack: what is started with them ends with this block."""
    with contextlib.ExitStack() as stack:
        yield stack, stack.enter_context(tempfile.TemporaryDirectory(prefix="pointsman-bench-"))


def start_mock(stack, folder):
    """The mock; gives the peer, and the port of its second cluster."""
    ports = [peers.free_port(), peers.free_port()]
    servers = ""
    for name, port in zip(("main", "spare"), ports):
        texts = {"identity": IDENTITY.replace("NAME", name), "health": HEALTH.replace("NAME", name), "uuid": f"uuid-of-{name}"}
        servers += MOCK.format(port=port, document=DOCUMENT, **texts)
    program = peers.SERVERS / "nginx/nginx"
    process = start_nginx(stack, folder, "mock", servers)
    peer = Peer("direct", ports[0], process, peers.first_line([program, "-v"]))
    wait_until_it_answers(peer, f"{folder}/mock.log")
    return peer, ports[1]


def start_nginx(stack, folder, name, http):
    file = pathlib.Path(folder, f"{name}.conf")
    file.write_text(NGINX.format(folder=folder, name=name, http=http))
    command = [peers.SERVERS / "nginx/nginx", "-e", f"{folder}/{name}.error", "-c", file]
    return peers.spawn(stack, command, f"{folder}/{name}.log")


def start_proxy(stack, folder, name, node, spare):
    """A proxy in front of `node`; none if its program isn't there."""
    program = {"pointsman": peers.POINTSMAN, "nginx": peers.SERVERS / "nginx/nginx", "envoy": peers.SERVERS / "envoy/envoy"}
    program = program.get(name, peers.SERVERS / "haproxy/haproxy")
    if not program.exists():
        print(f"not measured: {name} ({program} is missing)", flush=True)
        return None
    listen, file = peers.free_port(), pathlib.Path(folder, f"{name}-{node}.conf")
    log, version = f"{folder}/{name}-{node}.log", "--version"
    values = {"workers": os.cpu_count(), "folder": folder, "name": f"{name}-{node}", "listen": listen, "node": node, "spare": spare, "telemetry": peers.free_port()}
    if name == "nginx":
        process, version = start_nginx(stack, folder, values["name"], NGINX_PROXY.format(**values)), "-v"
    else:
        if name.startswith("haproxy"):
            text, command, version = HAPROXY_HTTP if name == "haproxy http" else peers.HAPROXY, ["-db", "-f", file], "-v"
        elif name == "envoy":
            file = file.with_suffix(".yaml")
            text, command = ENVOY, ["-c", file, "--disable-hot-restart", "--concurrency", os.cpu_count(), "-l", "error"]
        else:
            text, command = OURS, ["run", "--config", file]
        file.write_text(text.format(**values))
        process = peers.spawn(stack, [program, *command], log)
    peer = Peer(name, listen, process, peers.first_line([program, version]))
    wait_until_it_answers(peer, log)
    return peer


def wait_until_it_answers(peer, log):
    end, said = time.monotonic() + 30, ""
    while time.monotonic() < end and peer.process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{peer.port}/orders/_doc/1", timeout=5) as answer:
                answer.read()
                return
        except OSError as error:
            said = error
        time.sleep(0.05)
    raise SystemExit(f"{peer.name} does not answer on port {peer.port} ({said}):\n{pathlib.Path(log).read_text()[-2000:]}")
