"""Nothing listens: a command of one process has no open port."""

import contextlib
import socket
import time
from pathlib import Path

import pytest

LISTENING = "0A"


def processes(root):
    """Return a process and all that descend from it."""
    try:
        children = Path(f"/proc/{root}/task/{root}/children").read_text().split()
    except OSError:  # it has ended
        return []
    return [root, *(pid for child in children for pid in processes(int(child)))]


def listening(pid):
    """Return the TCP and UDP ports that a process listens at, as /proc/net shows them."""
    links = []
    with contextlib.suppress(OSError):  # it has ended
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed by now
                links.append(str(path.readlink()))
    own = {link[8:-1] for link in links if link.startswith("socket:[")}
    found = []
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        path = Path(f"/proc/{pid}/net/{kind}")
        for line in path.read_text().splitlines()[1:] if own and path.exists() else ():
            fields = line.split()
            if fields[9] in own and (kind.startswith("udp") or fields[3] == LISTENING):
                found.append(f"{kind} {fields[1]}")
    return found


def test_an_open_port_is_seen():
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        opened.listen()
        port = f"{opened.getsockname()[1]:04X}"
        assert any(found.endswith(port) for found in listening("self"))


@pytest.mark.parametrize("name", ["train-loader", "prepare-4", "predict"])
def test_no_port_is_open(warm, command, place, name):
    running = warm.start(*command(name).args, cwd=place(name))
    seen, looks = [], 0
    while (now := processes(running.pid)) and Path(f"/proc/{running.pid}/fd").exists():
        seen += [found for pid in now for found in listening(pid)]
        looks += 1
        if Path(f"/proc/{running.pid}/stat").read_text().split()[2] == "Z":
            break
        time.sleep(0.02)
    assert running.end().code == 0
    assert looks > 2 and not seen
