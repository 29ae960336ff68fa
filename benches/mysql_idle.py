"""Logs in many sessions, runs one statement on each, says how many it has, and holds them until its standard input ends.

In: port, user, password, how many. By mysql_native_password or caching_sha2_password's fast answer, so that nothing beside Python's
own library is needed.
"""

import hashlib
import resource
import socket
import struct
import sys

# LONG_PASSWORD, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH, DEPRECATE_EOF
CAPABILITIES = 0x1 | 0x200 | 0x2000 | 0x8000 | 0x80000 | 0x1000000


def packet(connection):
    head = exactly(connection, 4)
    return head[3], exactly(connection, int.from_bytes(head[:3], "little"))


def exactly(connection, length):
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            raise OSError("the connection was closed")
        data += more
    return data


def send(connection, sequence, payload):
    connection.sendall(len(payload).to_bytes(3, "little") + bytes([sequence]) + payload)


def scramble(plugin, password, nonce):
    make, swapped = (hashlib.sha1, False) if plugin == b"mysql_native_password" else (hashlib.sha256, True)
    first = make(password).digest()
    second = make(first).digest()
    third = make(second + nonce).digest() if swapped else make(nonce + second).digest()
    return bytes(a ^ b for a, b in zip(first, third))


def log_in(port, user, password):
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    _, greeting = packet(connection)
    end = greeting.index(0, 1)
    nonce = greeting[end + 5 : end + 13]
    rest = greeting[end + 32 :]
    nonce += rest[:12]
    plugin = rest[13:].split(b"\0")[0]
    answer = scramble(plugin, password, nonce)
    login = struct.pack("<IIB23x", CAPABILITIES, 1 << 24, 45) + user + b"\0" + bytes([len(answer)]) + answer + plugin + b"\0"
    send(connection, 1, login)
    while True:
        sequence, reply = packet(connection)
        if reply[:1] == b"\xfe":
            plugin, nonce = reply[1:].split(b"\0", 1)
            send(connection, sequence + 1, scramble(plugin, password, nonce[:20]))
        elif reply[:1] == b"\x00":
            break
        elif reply[:1] != b"\x01" or reply[1:2] != b"\x03":
            raise OSError(f"not let in: {reply!r}")
    send(connection, 0, b"\x03SELECT 1")
    while packet(connection)[1][:1] != b"\xfe":
        pass
    return connection


def main():
    port, user, password, most = int(sys.argv[1]), sys.argv[2].encode(), sys.argv[3].encode(), int(sys.argv[4])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = []
    try:
        while len(held) < most:
            held.append(log_in(port, user, password))
    except OSError as error:
        print(f"after {len(held)}: {error}", file=sys.stderr)
    print(len(held), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
