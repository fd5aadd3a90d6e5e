"""Two processes that must both end well: started, watched, and ended together. Knows no protocol.

A party that dies takes its partner down within a moment, instead of leaving it waiting on a socket for ever; and parties
whose parent dies end by themselves, because their standard input closes.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

from effml.errors import UserError


class PartyFailed(RuntimeError):
    """A party ended before its work was done; the message says which, how, and its last words."""


@dataclass(frozen=True)
class Command:
    """One party: a name for messages, its command line, and what is added to the environment."""

    name: str
    argv: Sequence[str]
    environment: dict[str, str]


def free_port(wanted: int = 0) -> int:
    """A TCP port of this machine that nothing listens on: `wanted`, or any for 0.

    Raises:
        UserError: the wanted port is taken.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise UserError(
                f"port {wanted} cannot be used for private inference ({str(error.strerror).lower()}); choose another with "
                "cost.port, or 0 for any that is free"
            ) from None
        return int(probe.getsockname()[1])


def run_parties(
    commands: Sequence[Command],
    timeout: float,
    patience: float = 2.0,
    started: Callable[[list[int]], None] = lambda pids: None,
) -> None:
    """Run all parties to their end.

    Args:
        timeout: seconds for the whole.
        patience: seconds that the others get to end by themselves once one has failed.
        started: called with the process ids.

    Raises:
        PartyFailed: a party ended badly or the time ran out; by then no party is left running.
    """
    with ExitStack() as files:
        logs: list[IO[bytes]] = [files.enter_context(tempfile.TemporaryFile()) for _ in commands]
        _run(commands, logs, timeout, patience, started)


def _run(
    commands: Sequence[Command],
    logs: Sequence[IO[bytes]],
    timeout: float,
    patience: float,
    started: Callable[[list[int]], None],
) -> None:
    processes = [
        subprocess.Popen(
            list(command.argv),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **command.environment},
        )
        for command, log in zip(commands, logs, strict=True)
    ]
    try:
        started([process.pid for process in processes])
        _watch(commands, processes, logs, timeout, patience)
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()


def _watch(
    commands: Sequence[Command],
    processes: Sequence[subprocess.Popen[bytes]],
    logs: Sequence[IO[bytes]],
    timeout: float,
    patience: float,
) -> None:
    deadline = time.monotonic() + timeout
    while True:
        codes = [process.poll() for process in processes]
        failed = next((index for index, code in enumerate(codes) if code not in (None, 0)), None)
        if failed is not None:
            time.sleep(0 if all(code is not None for code in codes) else patience)
            how = _how(codes[failed] or 0)
            raise PartyFailed(f"the {commands[failed].name} {how}{_last_words(logs[failed])}")
        if all(code == 0 for code in codes):
            return
        if time.monotonic() > deadline:
            waiting = " and ".join(c.name for c, code in zip(commands, codes, strict=True) if code is None)
            raise PartyFailed(f"private inference took longer than {timeout:.0f} s; still running: {waiting}")
        time.sleep(0.01)


def _how(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with status {code}"


def _last_words(log: IO[bytes]) -> str:
    log.seek(0)
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    return f": {lines[-1]}" if lines else " without a word"
