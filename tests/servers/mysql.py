"""Starts a real MySQL 9 or MariaDB for the suites and the benchmarks, with a data folder of its own that ends with it.

In: the installed component (`mysql9`, `mariadb`) and settings. Out: a port on loopback, and a function that runs SQL as root. The
tests in Rust have their own way (tests/common/mysql_server.rs). Never: a server that somebody else started.
"""

import contextlib
import os
import pathlib
import random
import shutil
import socket
import subprocess
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
SERVERS = pathlib.Path(os.environ.get("POINTSMAN_SERVERS", REPOSITORY / "target/servers"))
PASSWORD = "secret"
# Whatever is the same for both; durable enough for a process that is killed, quick enough for a benchmark.
SETTINGS = {
    "bind-address": "127.0.0.1",
    "log-bin": "binlog",
    "sync-binlog": "0",
    "innodb-flush-log-at-trx-commit": "2",
    "skip-name-resolve": "ON",
    "max-connections": "4000",
    "max-connect-errors": "1000000",
    "local-infile": "ON",
    "secure-file-priv": "",
}
FLAVOURS = {
    "mysql9": {"gtid-mode": "ON", "enforce-gtid-consistency": "ON", "mysqlx": "OFF"},
    "mariadb": {"log-slave-updates": "ON", "performance-schema": "ON", "binlog-format": "ROW"},
}


def free_port():
    """A port that nobody listens on, in `POINTSMAN_TEST_PORTS` if that is set."""
    first, last = map(int, os.environ.get("POINTSMAN_TEST_PORTS", "0-0").split("-"))
    while True:
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", random.randint(first, last)))
            return listener.getsockname()[1]


class Server:
    """A running server: its component, port, socket and process."""

    def __init__(self, component, port, unix_socket, process):
        self.component, self.port, self.socket, self.process = component, port, unix_socket, process

    def query(self, statement):
        """Runs SQL as root over the Unix socket, so that no login over the network is warmed; gives what was printed."""
        client = "mysql" if self.component == "mysql9" else "mariadb"
        command = [SERVERS / self.component / client, "--no-defaults", "-uroot", "-S", self.socket, "-BN", "-e", statement]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"{statement[:80]}: {done.stderr.strip()}")
        return done.stdout


@contextlib.contextmanager
def running(component, settings=(), number=1):
    """A fresh server with root (no password, any host), `shop` (password, everything) and the databases shop and sbtest."""
    with tempfile.TemporaryDirectory(prefix="pointsman-mysql-") as folder:
        data, unix_socket = pathlib.Path(folder, "data"), pathlib.Path(folder, "sock")
        initialise(component, data, pathlib.Path(folder, "init.log"))
        port = free_port()
        values = SETTINGS | FLAVOURS[component] | {"server-id": str(number)} | dict(settings)
        program = "mysqld" if component == "mysql9" else "mariadbd"
        command = [SERVERS / component / program, *own_files(component), "--user=root", f"--datadir={data}", f"--tmpdir={folder}"]
        command += [f"--port={port}", f"--socket={unix_socket}", f"--pid-file={folder}/pid"]
        command += [f"--{name}={value}" for name, value in values.items()]
        log = pathlib.Path(folder, "log")
        with open(log, "w") as output:
            process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *map(str, command)], stdout=output, stderr=output)
        try:
            server = Server(component, port, unix_socket, process)
            wait_until_it_answers(server, log)
            create_users(server)
            yield server
        finally:
            process.kill()
            process.wait()


def own_files(component):
    """The machine's my.cnf is none of these servers' business; the wrapper of MySQL says so by itself."""
    return [] if component == "mysql9" else ["--no-defaults"]


def initialise(component, data, log):
    """An empty data folder, made once for each component and copied from then on."""
    made = REPOSITORY / "target/suites" / f"data-{component}"
    if not (made / "done").exists():
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        if component == "mysql9":
            command = [SERVERS / component / "mysqld", "--user=root", "--initialize-insecure"]
        else:
            command = [SERVERS / component / "mariadb-install-db", "--no-defaults", "--user=root", "--auth-root-authentication-method=normal", "--skip-test-db"]
        with open(log, "w") as output:
            done = subprocess.run([*map(str, command), f"--datadir={made}/data"], stdout=output, stderr=output, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{component} can't be initialised:\n{log.read_text()[-2000:]}")
        (made / "data/auto.cnf").unlink(missing_ok=True)
        (made / "done").touch()
    shutil.copytree(made / "data", data)


def wait_until_it_answers(server, log, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.process.poll() is None:
        with contextlib.suppress(RuntimeError, OSError):
            server.query("SELECT 1")
            return
        time.sleep(0.1)
    raise SystemExit(f"{server.component} does not start:\n{log.read_text()[-3000:]}")


def create_users(server):
    plugin = "caching_sha2_password" if server.component == "mysql9" else "mysql_native_password"
    by = f"WITH {plugin} BY '{PASSWORD}'" if server.component == "mysql9" else f"BY '{PASSWORD}'"
    for statement in (
        f"CREATE USER 'shop'@'%' IDENTIFIED {by}",
        "GRANT ALL ON *.* TO 'shop'@'%' WITH GRANT OPTION",
        f"CREATE USER 'pointsman'@'%' IDENTIFIED {by}",
        "GRANT ALL ON *.* TO 'pointsman'@'%' WITH GRANT OPTION",
        "CREATE DATABASE shop",
        "CREATE DATABASE sbtest",
    ):
        server.query(statement)
