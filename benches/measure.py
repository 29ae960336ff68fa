"""One measurement: redis-benchmark against a peer, with the CPU it cost there; and the memory of idle connections."""

import contextlib
import csv
import io
import resource
import socket
import subprocess
import time
from dataclasses import dataclass

import peers


@dataclass(frozen=True)
class Cell:
    """A load: clients, pipeline depth, and how many rounds it is worth."""

    clients: int
    pipeline: int
    rounds: int

    @property
    def name(self):
        return f"c{self.clients}p{self.pipeline}"


# Nine rounds where the project has set itself a goal, three elsewhere.
CELLS = [Cell(1, 1, 9), Cell(1, 16, 3), Cell(50, 1, 9), Cell(50, 16, 9), Cell(1000, 1, 9), Cell(1000, 16, 3)]
OPERATIONS = ["get", "set"]


@dataclass(frozen=True)
class Sample:
    """What one run showed: commands a second, the median latency in milliseconds, CPU microseconds a command in the peer."""

    rate: float
    p50: float
    cpu: float


def sample(peer, cell, operation, commands):
    """One run of redis-benchmark with its defaults (3 byte values, one key)."""
    before = peer.cpu_seconds()
    command = [peers.SERVERS / "redis7/redis-benchmark", "-p", peer.port, "-t", operation, "-c", cell.clients]
    command += ["-P", cell.pipeline, "-n", commands, "--csv"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=300)
    spent = peer.cpu_seconds() - before
    rows = [row for row in csv.reader(io.StringIO(done.stdout)) if row and row[0].lower() == operation]
    if done.returncode != 0 or len(rows) != 1:
        raise SystemExit(f"redis-benchmark failed on {peer.name} {cell.name}: {done.stdout}{done.stderr}")
    return Sample(rate=float(rows[0][1]), p50=float(rows[0][4]), cpu=spent / commands * 1e6)


def run(found, cells, seconds, limit_rounds=None):
    """Every cell, rounds in which all peers take turns; yields (cell, operation, round, {name: Sample}).

    Each round begins with another peer, so that no one always runs on the same heels; a ratio is taken within a round only.
    """
    for cell in cells:
        for operation in OPERATIONS:
            least = cell.clients * cell.pipeline * 4
            # What a peer manages, so that every run takes about the same time.
            trial = {peer.name: sample(peer, cell, operation, max(5000 if cell.clients == 1 else 20_000, least)).rate for peer in found}
            rounds = min(cell.rounds, limit_rounds or cell.rounds)
            for number in range(rounds):
                turn = number % len(found)
                order = found[turn:] + found[:turn]
                taken = {p.name: sample(p, cell, operation, max(least, int(trial[p.name] * seconds))) for p in order}
                yield cell, operation, number, taken


def idle_memory(peer, most):
    """Opens connections that say PING once and then are silent; gives (bytes each, how many were taken), `most` at most.

    A proxy that opens a connection to the server for each client's runs out of file descriptors first.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as stack:
        before, count = peer.resident_bytes(), 0
        with contextlib.suppress(OSError):
            while count < most and says_pong(stack, peer.port):
                count += 1
        settle(peer)
        return (peer.resident_bytes() - before) / max(count, 1), count


def says_pong(stack, port):
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=3))
    connection.sendall(b"*1\r\n$4\r\nPING\r\n")
    return connection.recv(64) == b"+PONG\r\n"


def settle(peer, seconds=10):
    """Waits until the memory has stood still for half a second."""
    last, still, end = peer.resident_bytes(), 0, time.monotonic() + seconds
    while still < 5 and time.monotonic() < end:
        time.sleep(0.1)
        now = peer.resident_bytes()
        still, last = (still + 1 if now == last else 0), now
