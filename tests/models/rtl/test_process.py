"""Tools are held: time, output, network, files, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from effml.models.rtl.process import Limits, confinement, place, run_tool, workspace


def shell(code: str, **options):
    with workspace() as folder:
        done = run_tool(["/bin/sh", "-c", code], folder, **options)
        return done, sorted(path.name for path in folder.iterdir())


def running(token: str) -> list[psutil.Process]:
    """Processes whose command line holds the token; a killed one may take a moment to go."""
    return [p for p in psutil.process_iter(["cmdline"]) if any(token in part for part in p.info["cmdline"] or ())]


def none_left(token: str) -> bool:
    deadline = time.monotonic() + 5
    while running(token) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not running(token)


def test_output_and_exit_code_come_back():
    done, _ = shell("echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")


def test_time_out_kills_the_whole_group():
    token = f"{os.getpid()}.{time.time_ns()}"
    done, _ = shell(f"sh -c 'sleep 60 # {token}' & sleep 60", limits=Limits(seconds=0.5))
    assert done.timed_out and done.seconds < 5
    assert none_left(token)


def test_a_tool_that_leaves_a_child_behind_leaves_none():
    token = f"{os.getpid()}.{time.time_ns()}"
    done, _ = shell(f"sh -c 'sleep 60; : {token}' >/dev/null 2>&1 &")
    assert done.ok
    assert none_left(token)


def test_endless_output_is_cut():
    done, _ = shell("yes", limits=Limits(seconds=20, file_bytes=1 << 20))
    assert done.overflowed and not done.ok and done.seconds < 15
    assert len(done.stdout) < 250_000


def test_memory_is_limited():
    code = "head -c 1G /dev/zero | tail -c 1G"
    done, _ = shell(code, limits=Limits(memory_bytes=256 << 20, seconds=30))
    assert done.returncode != 0


def test_environment_is_not_handed_on(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    done, _ = shell("env")
    assert "sk-secret" not in done.output


def test_writes_stay_in_the_folder(tmp_path):
    if not confinement()["files"]:
        pytest.skip("this kernel has no Landlock")
    (tmp_path / "secret.txt").write_text("secret")
    done, left = shell(
        f"touch here; touch {tmp_path}/there; cat {tmp_path}/secret.txt; touch /tmp/there; cat /etc/passwd"
    )
    assert left == ["here"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret.txt"]
    assert done.stdout == ""


def test_no_socket_can_be_made():
    if not confinement()["network"]:
        pytest.skip("this machine has no filter for system calls")
    with workspace() as folder:
        code = "import socket\ntry: socket.socket()\nexcept PermissionError: print('refused')"
        prefixes = sorted({sys.prefix, sys.base_prefix})
        done = run_tool([sys.executable, "-I", "-S", "-c", code], folder, readable=prefixes)
    assert done.stdout == "refused\n"


def test_tools_die_with_the_program_that_started_them():
    if not confinement()["dies_with_parent"]:
        pytest.skip("this system has no death signal")
    token = f"{os.getpid()}{time.time_ns()}"
    code = (
        "from effml.models.rtl.process import Limits, run_tool, workspace\n"
        f"with workspace() as folder: run_tool(['/bin/sh', '-c', 'while :; do :; done; : {token}'], folder, Limits(seconds=30))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])

    deadline = time.monotonic() + 20
    while not loops(token) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert loops(token)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert none_left(token)


def loops(token: str) -> bool:
    return any(process.info["cmdline"][0] == "/bin/sh" for process in running(token))


def test_only_plain_file_names_are_placed(tmp_path):
    for name in ("../x", "a/b", "/etc/x", ""):
        with pytest.raises(ValueError, match="plain file name"):
            place(tmp_path, {name: "x"})
