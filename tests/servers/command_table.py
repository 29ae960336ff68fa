#!/usr/bin/env python3
"""Writes src/protocol/redis/command/table.rs from what real servers answer to COMMAND.

    command_table.py PORT... > src/protocol/redis/command/table.rs && cargo fmt

The ports are those of running servers, oldest first (the table was made from Redis 7.0, Redis 8.0 and Valkey 9). Flags come from
COMMAND; what COMMAND doesn't say (which commands belong to a connection, change the topology) stands in the
lists below.
"""
import json
import subprocess
import sys

# Commands of releases that the servers at hand didn't have yet, by their documentation.
LATER = {
    "XDELEX": "W", "XACKDEL": "W", "XCFGSET": "W", "DELEX": "W", "MSETEX": "W", "DIGEST": "R",  # Redis 8.2, 8.4, 8.6
    "CLUSTER|SLOT-STATS": "", "CLUSTER|MIGRATION": "A", "CLUSTER|SYNCSLOTS": "A",
}
# Commands that are no commands to COMMAND: Redis takes them for a browser that was tricked and closes the connection.
HIDDEN = {"POST": "", "HOST:": ""}

TOPOLOGY = set("""REPLICAOF SLAVEOF FAILOVER SHUTDOWN SYNC PSYNC REPLCONF""".split()) | {
    "CLUSTER|" + sub for sub in """ADDSLOTS ADDSLOTSRANGE BUMPEPOCH DELSLOTS DELSLOTSRANGE FAILOVER FLUSHSLOTS FORGET MEET REPLICATE
    RESET SAVECONFIG SET-CONFIG-EPOCH SETSLOT MIGRATION SYNCSLOTS MIGRATESLOTS CANCELSLOTMIGRATIONS FLUSHSLOT""".split()}
KIND = {"POST": "Local(Local::Abort)", "HOST:": "Local(Local::Abort)", "AUTH": "Local(Local::Auth)",
        "HELLO": "Local(Local::Hello)", "SELECT": "Local(Local::Select)", "QUIT": "Local(Local::Quit)",
        "RESET": "Local(Local::Reset)", "CLIENT|SETNAME": "Local(Local::SetName)",
        "CLIENT|SETINFO": "Local(Local::SetInfo)", "CLIENT|GETNAME": "Local(Local::GetName)", "MONITOR": "Monitor", "WAIT": "Wait", "WAITAOF": "Wait",
        "MULTI": "Multi", "EXEC": "Exec", "DISCARD": "Discard", "WATCH": "Watch", "UNWATCH": "Unwatch",
        "XREAD": "Streams", "XREADGROUP": "Streams", "ASKING": "Cluster", "READONLY": "Cluster", "READWRITE": "Cluster",
        "EVAL": "Eval", "EVALSHA": "Script", "FCALL": "Script", "EVAL_RO": "ScriptRo", "EVALSHA_RO": "ScriptRo",
        "FCALL_RO": "ScriptRo", "PUBLISH": "Publish", "SPUBLISH": "Publish",
        # Run on a connection of their own, or they would wait behind the script that they are to kill; or they block.
        "SCRIPT|KILL": "Once", "FUNCTION|KILL": "Once", "DEBUG": "Once", "SCRIPT|DEBUG": "Identity", "PFDEBUG": "Once",
        "CLIENT": "Once", "CLIENT|KILL": "Once", "CLIENT|LIST": "Once", "CLIENT|PAUSE": "Once", "CLIENT|UNPAUSE": "Once",
        "CLIENT|UNBLOCK": "Once", "CLIENT|HELP": "Once", "CLIENT|TRACKINGINFO": "Once", "CLIENT|GETREDIR": "Once",
        "CLIENT|ID": "Identity", "CLIENT|INFO": "Identity", "CLIENT|CACHING": "Client", "CLIENT|TRACKING": "Client",
        "CLIENT|REPLY": "Client", "CLIENT|NO-EVICT": "Client", "CLIENT|NO-TOUCH": "Client", "CLIENT|CAPA": "Identity",
        "CLIENT|IMPORT-SOURCE": "Identity"}
for name in "SUBSCRIBE PSUBSCRIBE SSUBSCRIBE".split():
    KIND[name] = "Subscribe"
for name in "UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE".split():
    KIND[name] = "Unsubscribe"
for name in "BLPOP BRPOP BRPOPLPUSH BLMOVE BZPOPMIN BZPOPMAX".split():
    KIND[name] = "BlockLast"
for name in "BLMPOP BZMPOP".split():
    KIND[name] = "BlockFirst"


def letters(name, flags):
    found = "".join(letter for flag, letter in (("write", "W"), ("readonly", "R"), ("admin", "A")) if flag in flags)
    return found + ("T" if name in TOPOLOGY else "")


def dump(port):
    answer = subprocess.run(["redis-cli", "-p", port, "--json", "COMMAND"], capture_output=True, text=True, check=True).stdout
    for command in json.loads(answer):
        yield command[0].upper(), command[2]
        for sub in command[9] if len(command) > 9 else []:
            yield sub[0].upper(), sub[2]


def main():
    found = {name: letters(name, "") + own for name, own in {**LATER, **HIDDEN}.items()}
    for port in sys.argv[1:]:
        for name, flags in dump(port):
            found[name] = letters(name, flags)
    print("//! Every command of Redis 7.0 to 8.x and Valkey 9, as their servers describe them. Written by\n"
          "//! `tests/servers/command_table.py`; change it there.\n\n"
          "use super::spec::{Flags, Kind, Local, Spec};\n")
    for letter, flag in (("W", "WRITE"), ("R", "READ"), ("A", "ADMIN"), ("T", "TOPOLOGY")):
        print(f"const {letter}: Flags = Flags::{flag};")
    print("const O: Flags = Flags::NONE;\n\n/// All commands, by name.\npub(super) static COMMANDS: &[Spec] = &[")
    for name in sorted(name for name in found if "|" not in name):
        subs = sorted(sub for sub in found if sub.startswith(name + "|"))
        row = f'    {spec(name, name, found)}'
        if not subs:
            print(f"{row}, &[]),")
            continue
        print(f"{row}, &[")
        for sub in subs:
            print(f'        {spec(sub, sub.split("|")[1], found)}, &[]),')
        print("    ]),")
    print("];")


def spec(full, short, found):
    flags = found[full]
    union = flags[:1] or "O"
    for letter in flags[1:]:
        union += f".with({letter})"
    return f'Spec::new("{short}", {union}, Kind::{KIND.get(full, "Plain")}'


if __name__ == "__main__":
    main()
