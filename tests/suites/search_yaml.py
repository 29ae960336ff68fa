"""Runs the REST tests that OpenSearch and Elasticsearch publish for authors of clients (YAML), through opensearch-py or elasticsearch-py 7 with
sniffing on; and a few of each client's own helpers. Prints one line a test: `PASS name`, `FAIL name: why` or `SKIP name`.

In: `opensearch|elasticsearch PORT SPECIFICATION_FOLDER [WORD]`; with a word, only tests with it in their names. It empties the server between
tests. Never: an assertion about Pointsman; whoever runs it compares what passed.
"""

import importlib
import json
import pathlib
import re
import sys

import yaml

FEATURES = {"headers", "allowed_warnings", "allowed_warnings_regex", "warnings", "warnings_regex", "arbitrary_key", "contains", "default_shards"}
CATCHES = {"missing": 404, "conflict": 409, "forbidden": 403, "unauthorized": 401, "request_timeout": 408, "unavailable": 503, "bad_request": 400}


class Failed(Exception):
    """An expectation that didn't hold."""


class Skipped(Exception):
    """What isn't for this server or this runner."""


class Loader(yaml.SafeLoader):
    """Without dates: what looks like one is text to the servers."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class Server:
    """The product's client, and the table of its APIs."""

    def __init__(self, product, port, folder):
        module = importlib.import_module("opensearchpy" if product == "opensearch" else "elasticsearch")
        self.module, self.port = module, port
        self.helpers = importlib.import_module(f"{module.__name__}.helpers")
        client = module.OpenSearch if product == "opensearch" else module.Elasticsearch
        self.errors = module.exceptions.TransportError
        # Longer than the 30 s for which a server waits for copies that can't come.
        self.client = client([{"host": "127.0.0.1", "port": port}], sniff_on_start=True, sniffer_timeout=1, sniff_on_connection_fail=True, timeout=60, max_retries=0)
        self.apis = {}
        for file in pathlib.Path(folder, "api").glob("*.json"):
            self.apis.update({name: api for name, api in json.loads(file.read_text()).items() if not name.startswith("_")})
        self.used = set()
        self.version = tuple(map(int, self.client.info()["version"]["number"].split(".")[:3]))

    def call(self, method, path, params=None, body=None, headers=None):
        return self.client.transport.perform_request(method, path, params=params or {}, body=body, headers=headers or {})

    def api(self, name, arguments, headers):
        """Calls an API by its name in the tests."""
        if name not in self.apis:
            raise Skipped(f"no API {name}")
        self.used.add(name)
        api, arguments = self.apis[name], dict(arguments or {})
        body = arguments.pop("body", None)
        fitting = [path for path in api["url"]["paths"] if set(path.get("parts", {})) <= set(arguments) and None not in (arguments.get(part, "") for part in path.get("parts", {}))]
        if not fitting:
            raise Skipped("an argument that the client itself refuses")
        path = max(fitting, key=lambda one: len(one.get("parts", {})))
        target = path["path"]
        for part in path.get("parts", {}):
            value = arguments.pop(part)
            value = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            target = target.replace(f"{{{part}}}", self.quote(value))
        methods = path["methods"]
        method = "POST" if body is not None and "POST" in methods and methods[0] == "GET" else methods[0]
        if (api.get("body") or {}).get("serialize") == "bulk" and body is not None:
            lines = body if isinstance(body, list) else [body]
            body = "".join((line if isinstance(line, str) else json.dumps(line)).rstrip("\n") + "\n" for line in lines)
            headers = {"content-type": "application/x-ndjson"} | headers
        return self.call(method, target, {key: plain(value) for key, value in arguments.items()}, body, headers)

    def quote(self, value):
        return self.module.client.utils._make_path(value).lstrip("/")

    def wipe(self):
        """An empty server: tests don't know of each other. What no API that was used can have left isn't looked for."""
        used, self.used = " ".join(self.used), set()
        self.quietly("DELETE", "/*?expand_wildcards=open,closed,hidden")
        for word, path in (("data_stream", "/_data_stream/*"), ("template", "/_template/*"), ("template", "/_index_template/*"),
                           ("component_template", "/_component_template/*"), ("pipeline", "/_ingest/pipeline/*")):
            if word in used:
                self.quietly("DELETE", path)
        for name in (self.quietly("GET", "/_snapshot") or {}) if "snapshot" in used else ():
            self.quietly("DELETE", f"/_snapshot/{name}")
        if "put_settings" in used:
            self.quietly("PUT", "/_cluster/settings", {"persistent": {"*": None}, "transient": {"*": None}})

    def quietly(self, method, path, body=None):
        try:
            return self.call(method, path, body=body)
        except self.errors:
            return None


def plain(value):
    """A query parameter as it is written."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else value


class Test:
    """One test: its steps, what was stashed, and the last answer."""

    def __init__(self, server):
        self.server, self.stash, self.answer = server, {}, None

    def run(self, steps):
        for step in steps:
            ((kind, what),) = step.items()
            action = getattr(self, f"step_{kind}", None)
            if action is None:
                raise Skipped(f"no step {kind}")
            action(what)

    def step_skip(self, what):
        features = what.get("features", [])
        missing = set([features] if isinstance(features, str) else features) - FEATURES
        if missing or any(self.is_in(span) for span in str(what.get("version", "")).split(",") if span.strip()):
            raise Skipped(str(what))

    def is_in(self, span):
        if span.strip() == "all":
            return True
        low, _, high = (part.strip() for part in span.partition("-"))
        numbers = lambda text: tuple(map(int, re.findall(r"\d+", text)[:3]))
        return (not low or numbers(low) <= self.server.version) and (not high or self.server.version <= numbers(high))

    def step_do(self, what):
        what = dict(what)
        catch, headers = what.pop("catch", None), self.filled(what.pop("headers", {}))
        for ignored in ("warnings", "warnings_regex", "allowed_warnings", "allowed_warnings_regex"):
            what.pop(ignored, None)
        if "node_selector" in what:
            raise Skipped("node_selector")
        ((name, arguments),) = what.items()
        arguments = self.filled(arguments or {})
        ignore = arguments.pop("ignore", None)
        try:
            self.answer = self.server.api(name, arguments, {key.lower(): str(value) for key, value in headers.items()})
        except self.server.errors as error:
            if not isinstance(error.status_code, int):
                raise Failed(f"{name}: {error}") from error
            self.answer = error.info
            if catch is None and error.status_code not in (ignore if isinstance(ignore, list) else [ignore]):
                raise Failed(f"{name}: {error.status_code} {str(error.info)[:200]}") from error
            self.caught(catch, error)
            return
        if catch is not None:
            raise Failed(f"{name} was to fail ({catch})")

    def caught(self, catch, error):
        if catch in CATCHES and error.status_code != CATCHES[catch]:
            raise Failed(f"{catch} was expected, not {error.status_code}")
        if catch and catch.startswith("/") and not re.search(catch.strip("/"), f"{error.error} {json.dumps(error.info)} {error.info!r}"):
            raise Failed(f"{catch} isn't in {error.info}")

    def filled(self, value):
        """With stashed values in their places."""
        if isinstance(value, dict):
            return {self.filled(key): self.filled(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.filled(one) for one in value]
        if isinstance(value, str) and re.fullmatch(r"\$\{?(\w+)\}?", value):
            name = value.strip("${}")
            return self.answer if name == "body" else self.stash.get(name, value)
        if isinstance(value, str):
            return re.sub(r"\$\{(\w+)\}", lambda found: str(self.stash.get(found[1], found[0])), value)
        return value

    def at(self, path):
        value = self.answer
        for part in re.split(r"(?<!\\)\.", str(path)) if path not in ("", "$body") else []:
            part = self.filled(part.replace("\\.", "."))
            if part == "_arbitrary_key_":
                return next(iter(value))
            try:
                value = value[int(part)] if isinstance(value, list) else value[part]
            except (KeyError, IndexError, TypeError, ValueError):
                return None
        return value

    def step_set(self, what):
        for path, name in what.items():
            self.stash[name] = self.at(path)

    def step_match(self, what):
        for path, expected in what.items():
            found, expected = self.at(path), self.filled(expected)
            if isinstance(expected, str) and re.fullmatch(r"\s*/.*/\s*", expected, re.DOTALL):
                holds = re.search(expected.strip()[1:-1], str(found), re.VERBOSE | re.MULTILINE)
            else:
                holds = found == expected or str(found) == str(expected)
            if not holds:
                raise Failed(f"{path} is {str(found)[:150]!r}, not {str(expected)[:150]!r}")

    def step_length(self, what):
        for path, expected in what.items():
            found = self.at(path)
            if found is None or len(found) != int(self.filled(expected)):
                raise Failed(f"the length of {path} isn't {expected}: {str(found)[:150]!r}")

    def step_is_true(self, path):
        if self.at(path) in (None, False, 0, "", "false"):
            raise Failed(f"{path} isn't true")

    def step_is_false(self, path):
        if self.at(path) not in (None, False, 0, "", "false", "0", {}, []):
            raise Failed(f"{path} isn't false")

    def step_contains(self, what):
        for path, expected in what.items():
            found, expected = self.at(path) or [], self.filled(expected)
            whole = lambda one: all(one.get(key) == value for key, value in expected.items()) if isinstance(one, dict) and isinstance(expected, dict) else one == expected
            if not any(map(whole, found)):
                raise Failed(f"{path} doesn't contain {expected}")

    def compare(self, what, holds):
        for path, bound in what.items():
            found = self.at(path)
            if found is None or not holds(float(found), float(self.filled(bound))):
                raise Failed(f"{path} is {found}, against {bound}")

    def step_gt(self, what):
        self.compare(what, lambda found, bound: found > bound)

    def step_gte(self, what):
        self.compare(what, lambda found, bound: found >= bound)

    def step_lt(self, what):
        self.compare(what, lambda found, bound: found < bound)

    def step_lte(self, what):
        self.compare(what, lambda found, bound: found <= bound)


def specified(folder):
    """All tests of the specification: (name, steps of the set-up, steps, steps of the end)."""
    for file in sorted(pathlib.Path(folder, "test").rglob("*.yml")):
        try:
            documents = [one for one in yaml.load_all(file.read_text(), Loader) if one]
        except yaml.YAMLError:
            continue
        begin = next((one["setup"] for one in documents if "setup" in one), [])
        end = next((one["teardown"] for one in documents if "teardown" in one), [])
        for document in documents:
            for name, steps in document.items():
                if name not in ("setup", "teardown"):
                    yield f"{file.relative_to(pathlib.Path(folder, 'test')).with_suffix('')}: {' '.join(str(name).split())}", begin, steps, end


def bulk_and_scan(server):
    """Writes by the bulk helpers, reads by a scroll to its end."""
    helpers = server.helpers
    actions = ({"_index": "helped", "_id": str(n), "n": n} for n in range(1500))
    assert helpers.bulk(server.client, actions, chunk_size=200, refresh=True) == (1500, [])
    assert all(good for good, _ in helpers.parallel_bulk(server.client, ({"_index": "helped", "_id": f"p{n}", "n": n} for n in range(500)), chunk_size=100))
    server.client.indices.refresh(index="helped")
    assert len({hit["_id"] for hit in helpers.scan(server.client, index="helped", size=300)}) == 2000
    assert server.client.count(index="helped")["count"] == 2000


def reindex_helper(server):
    """Reads by a scroll and writes by bulks at the same time."""
    helpers = server.helpers
    helpers.bulk(server.client, ({"_index": "old", "_id": str(n), "n": n} for n in range(700)), refresh=True)
    assert helpers.reindex(server.client, "old", "new", chunk_size=100)[0] == 700
    server.client.indices.refresh(index="new")
    assert server.client.count(index="new")["count"] == 700


def streaming_errors(server):
    """An item that fails is named, the others are written."""
    helpers = server.helpers
    server.client.indices.create(index="strict", body={"mappings": {"properties": {"n": {"type": "integer"}}}})
    actions = [{"_index": "strict", "_id": str(n), "n": n if n % 7 else "no number"} for n in range(50)]
    told = list(helpers.streaming_bulk(server.client, actions, raise_on_error=False, chunk_size=10))
    assert sum(good for good, _ in told) == 42, told


def sniffed(server):
    """After sniffing the client still knows only the address that it was given."""
    server.client.transport.sniff_hosts()
    assert [connection.host for connection in server.client.transport.connection_pool.connections] == [f"http://127.0.0.1:{server.port}"]


def own(server):
    """The helpers, as tests of the same form."""
    for function in (bulk_and_scan, reindex_helper, streaming_errors, sniffed):
        yield f"helpers: {function.__name__}", function


def one(server, name, work):
    try:
        work()
        print(f"PASS {name}", flush=True)
    except Skipped:
        print(f"SKIP {name}", flush=True)
    except Exception as error:  # whatever a client raises is a test that failed
        print(f"FAIL {name}: {type(error).__name__} {' '.join(str(error).split())[:300]}", flush=True)


def main():
    product, port, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    word = sys.argv[4] if len(sys.argv) > 4 else ""
    server = Server(product, port, folder)
    for name, function in own(server):
        if word in name:
            server.wipe()
            one(server, name, lambda function=function: function(server))
    for name, begin, steps, end in specified(folder):
        if word not in name:
            continue
        server.wipe()
        test = Test(server)
        one(server, name, lambda: (test.run(begin), test.run(steps)))
        try:
            test.run(end)
        except (Failed, Skipped):
            pass
    server.wipe()


if __name__ == "__main__":
    main()
