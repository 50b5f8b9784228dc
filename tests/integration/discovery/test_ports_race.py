"""A hundred processes race for fifty ports: none is shared, and none is left over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.datafiles import ROOT

PROCESSES, PORTS = 100, 50

#: Forks the racers, who start together, and prints what each got: its port, 0 for none, -1 for one that is another's.
PROGRAM = """
import json, os, random, socket, sys
from kit.discovery import Ports, is_available
from kit.errors import ConfigurationError

root, processes, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
while True:
    first = random.randint(20000, 30000)
    if all(is_available(port) for port in range(first, first + count)):
        break

def race(number, go, out, stay):
    os.read(go, 1)
    ports = Ports(first=first, last=first + count - 1, tries=count, root=root)
    try:
        port = ports.allocate(f"racer {number}", system=False).port
        listener = socket.socket()
        listener.bind(("127.0.0.1", port))
        listener.listen()
    except ConfigurationError:
        port = 0
    except OSError:
        port = -1  # somebody else has bound it
    os.write(out, f"{port}\\n".encode())
    os.read(stay, 1)
    os._exit(0)

go, started = os.pipe()
results, out = os.pipe()
stay, leave = os.pipe()
for number in range(processes):
    if os.fork() == 0:
        os.close(started)
        os.close(leave)
        race(number, go, out, stay)
os.close(go)
os.close(started)
os.close(out)
found, text = [], b""
while text.count(b"\\n") < processes:
    more = os.read(results, 4096)
    if not more:
        break
    text += more
held = len(Ports(first=first, last=first + count - 1, root=root).leases())
os.close(leave)
for _ in range(processes):
    os.wait()
left = len(Ports(first=first, last=first + count - 1, root=root).leases())
print(json.dumps({"ports": [int(line) for line in text.split()], "held": held, "left": left}))
"""


def test_a_hundred_processes_that_race_for_fifty_ports_share_none(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, str(tmp_path / "ports"), str(PROCESSES), str(PORTS)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    won = [port for port in found["ports"] if port]
    assert len(found["ports"]) == PROCESSES
    assert len(won) == len(set(won)) == PORTS
    assert found["held"] == PORTS
    assert found["left"] == 0, "what a process held is free when it has ended"
