"""Two processes: both end well, or both end, soon, with a sentence that says what happened."""

import os
import signal
import socket
import sys
import threading
import time

import pytest

from effml.errors import UserError
from effml.models.private.launch import Command, PartyFailed, free_port, run_parties


def party(name, code):
    return Command(name, [sys.executable, "-S", "-c", code], {"GREETING": name})


SLEEP = "import time; time.sleep(60)"


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_both_end_well(tmp_path):
    write = f"import os; open({str(tmp_path)!r} + '/' + os.environ['GREETING'], 'w')"
    run_parties([party("server", write), party("client", write)], timeout=30)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["client", "server"]


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("import sys; print('no weights'); sys.exit(3)", "the server ended with status 3: no weights"),
        ("raise ValueError('odd shape')", "the server ended with status 1: ValueError: odd shape"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "the server was killed by SIGKILL without a word"),
    ],
)
def test_a_failing_party_takes_the_other_down(end, words):
    pids, began = [], time.monotonic()
    with pytest.raises(PartyFailed, match=words):
        run_parties([party("server", end), party("client", SLEEP)], 30, patience=0.1, started=pids.extend)
    assert time.monotonic() - began < 10 and len(pids) == 2 and not any(alive(pid) for pid in pids)


def test_a_party_killed_from_outside_is_named():
    def kill_client(pids):
        threading.Timer(0.2, os.kill, (pids[1], signal.SIGTERM)).start()

    with pytest.raises(PartyFailed, match="the client was killed by SIGTERM"):
        run_parties([party("server", SLEEP), party("client", SLEEP)], 30, patience=0.1, started=kill_client)


def test_nothing_hangs_for_ever():
    pids = []
    with pytest.raises(PartyFailed, match="longer than 0 s; still running: client"):
        run_parties([party("server", "pass"), party("client", SLEEP)], 0.5, started=pids.extend)
    assert not any(alive(pid) for pid in pids)


def test_a_busy_port_is_refused():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} cannot be used.*choose another with cost.port"):
            free_port(port)
    assert free_port(port) == port and free_port() > 1023
