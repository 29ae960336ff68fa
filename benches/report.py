"""From samples to docs/BENCHMARKS.md: medians of ratios with their intervals, CPU, latency, memory, goals."""

import math
import os
import pathlib
import platform
import re
import statistics
import time

BEGIN, END = "<!-- measured: written by make bench -->", "<!-- end of measured -->"
HEAD = """# Benchmarks

`make bench` measures everything below in one run: Redis directly, and through each proxy, taking turns. What matters is the ratio to
*direct* within a round; absolute numbers are this machine's. What was tried, and what falls short, is written below the tables by hand.

"""


def interval(values):
    """Order statistics around the median that hold it with the coverage said: (low, high, coverage)."""
    ordered, count = sorted(values), len(values)
    best = (ordered[0], ordered[-1], 1 - 2 * 0.5**count)
    for cut in range(1, count // 2):
        missed = 2 * sum(math.comb(count, k) for k in range(cut + 1)) * 0.5**count
        if 1 - missed < 0.95:
            break
        best = (ordered[cut], ordered[-1 - cut], 1 - missed)
    return best


def ratios(rounds, name):
    return [taken[name].rate / taken["direct"].rate for taken in rounds]


def median(rounds, name, field):
    return statistics.median(getattr(taken[name], field) for taken in rounds)


def table(head, rows):
    lines = ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines) + "\n"


def machine():
    cpu = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) // 1024**2
    load = os.getloadavg()[0]
    return f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, {memory} GiB, Linux {platform.release()}; load {load:.1f} at the end"


def text(found, results, memory, seconds):
    """The measured part. `results` maps (cell, operation) to its rounds."""
    proxies = [peer.name for peer in found[1:]]
    parts = [f"{time.strftime('%Y-%m-%d')}, {machine()}. Runs of {seconds:g} s.\n"]
    parts.append(table(["peer", "version"], [[peer.name, peer.version] for peer in found]))
    parts.append("## Throughput, ratio to direct\n\nMedian of the rounds' ratios, and the interval that holds the median "
                 "(96 % with nine rounds, 75 % with three).\n")
    parts.append(table(["load", "rounds", "direct, commands/s", *proxies], throughput_rows(results, proxies)))
    parts.append("## CPU of the proxy, microseconds a command\n\nAll threads' time on a CPU, divided by the commands; median.\n")
    cpu = [[label(key), *(f"{median(rounds, name, 'cpu'):.2f}" for name in proxies)] for key, rounds in results.items()]
    parts.append(table(["load", *proxies], cpu))
    alone = {key: rounds for key, rounds in results.items() if key[0].clients == 1 and key[0].pipeline == 1}
    if alone:
        parts.append("## Latency of one client, p50 in milliseconds\n")
        names = ["direct", *proxies]
        rows = [[label(key), *(f"{median(rounds, name, 'p50'):.3f}" for name in names)] for key, rounds in alone.items()]
        parts.append(table(["load", *names], rows))
    if memory:
        parts.append("## Memory an idle connection\n\nConnections that said PING once and then were silent; resident bytes each.\n")
        rows = [[name, f"{size:,.0f}", f"{count:,}"] for name, (size, count) in memory.items()]
        parts.append(table(["peer", "bytes", "connections"], rows))
    if "pointsman" in proxies:
        parts.append("## Goals\n")
        parts.append(table(["goal", "measured", "met"], goals(results, memory, proxies)))
    return "\n".join(parts)


def label(key):
    cell, operation = key
    return f"{operation.upper()} c={cell.clients} P={cell.pipeline}"


def throughput_rows(results, proxies):
    rows = []
    for key, rounds in results.items():
        row = [label(key), str(len(rounds)), f"{median(rounds, 'direct', 'rate'):,.0f}"]
        for name in proxies:
            values = ratios(rounds, name)
            low, high, _ = interval(values)
            row.append(f"{statistics.median(values):.2f} ({low:.2f} to {high:.2f})")
        rows.append(row)
    return rows


def goals(results, memory, proxies):
    """One row a goal and load: what was asked, what was measured, yes or no."""
    others = [name for name in proxies if name != "pointsman"]
    rows = []

    def row(goal, measured, met):
        rows.append([goal, measured, "yes" if met else "**no**"])

    for key, rounds in results.items():
        cell, name = key[0], label(key)
        ours = statistics.median(ratios(rounds, "pointsman"))
        least = {(50, 1): 1.0, (50, 16): 0.8, (1000, 1): 1.1}.get((cell.clients, cell.pipeline))
        if least:
            row(f"{name}: at least {least} of direct", f"{ours:.2f}", ours >= least)
        for other in others:
            theirs = statistics.median(ratios(rounds, other))
            if other != "nutcracker" or (cell.clients, cell.pipeline) == (50, 1):
                row(f"{name}: throughput at least {other}'s", f"{ours:.2f} to {theirs:.2f}", ours >= theirs)
        if cell.clients == 50 and others:
            mine, best = median(rounds, "pointsman", "cpu"), min(median(rounds, other, "cpu") for other in others)
            row(f"{name}: CPU a command below every peer's", f"{mine:.2f} to {best:.2f} us", mine < best)
        if (cell.clients, cell.pipeline) == (1, 1) and "haproxy" in others:
            mine, theirs = (median(rounds, peer, "p50") for peer in ("pointsman", "haproxy"))
            row(f"{name}: p50 at most HAProxy's", f"{mine:.3f} to {theirs:.3f} ms", mine <= theirs)
    if "pointsman" in memory:
        size, count = memory["pointsman"]
        row("memory an idle connection at most 4096 bytes, 10,000 of them", f"{size:,.0f}, {count:,}", size <= 4096 and count >= 10_000)
    return rows


def write(file, measured):
    """Replaces the measured part and keeps what people wrote around it."""
    old = file.read_text() if file.exists() else HEAD + BEGIN + END + "\n"
    before, _, rest = old.partition(BEGIN)
    after = rest.partition(END)[2] if END in rest else "\n"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"{before}{BEGIN}\n{measured}\n{END}{after}")
