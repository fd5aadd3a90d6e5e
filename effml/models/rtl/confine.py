"""The last thing that runs before a tool does: limits, no network, no writes outside one folder, then exec.

Started as a program of its own (`python -I -S confine.py ORDER -- tool arguments`), so standard library only. A tool that
reads text written by a language model gets, as far as the kernel can:

* resource limits on CPU time, memory, file size and open files;
* Landlock: it reads the system folders and its own, and writes nowhere but in its own (Linux 5.13 and later);
* seccomp: no socket can be made (Linux on x86-64 and arm64);
* a death signal: it does not outlive the program that started it.

None of these needs a privilege, and all of them hold for root as well. `--probe` prints which of them hold here.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import signal
import struct
import sys

SYSTEM_PATHS = (
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/opt",
    "/nix",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/proc/self",
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
READING = EXECUTE | READ_FILE | READ_DIR
ACCESS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | (1 << 14) | (1 << 15)
TCP_BIND_AND_CONNECT = 3

# (AUDIT_ARCH of the kernel's headers, number of socket(2), number of io_uring_setup(2))
SOCKET_CALLS = {"x86_64": (0xC000003E, 41, 425), "aarch64": (0xC00000B7, 198, 425)}


def limit(order: dict) -> None:
    """Resource limits: exceeding one ends the tool with a signal or a failed call."""
    cpu = max(1, int(order["cpu_seconds"]))
    wanted = {
        resource.RLIMIT_CPU: (cpu, cpu + 1),
        resource.RLIMIT_FSIZE: (int(order["file_bytes"]),) * 2,
        resource.RLIMIT_NOFILE: (256, 256),
        resource.RLIMIT_CORE: (0, 0),
    }
    if sys.platform.startswith("linux"):
        wanted[resource.RLIMIT_AS] = (int(order["memory_bytes"]),) * 2
    for which, (soft, hard) in wanted.items():
        ceiling = resource.getrlimit(which)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        resource.setrlimit(which, (soft, hard))


def confine_files(libc: ctypes.CDLL, folder: str, readable: list[str]) -> bool:
    """Landlock: read the system, `readable` and `folder`; write only in `folder`. False where the kernel has none."""
    abi = libc.syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    if abi < 1:
        return False
    every = ACCESS_BY_ABI[min(abi, 5)]
    attributes = struct.pack("=QQ", every, TCP_BIND_AND_CONNECT) if abi >= 4 else struct.pack("=Q", every)
    ruleset = libc.syscall(LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        return False
    rules = [(path, READING) for path in (*SYSTEM_PATHS, *readable)]
    rules += [(path, READ_FILE | WRITE_FILE) for path in DEVICES] + [(folder, every)]
    for path, access in rules:
        try:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        allowed = access & every if os.path.isdir(path) else access & every & ON_FILES
        libc.syscall(LANDLOCK_ADD, ruleset, 1, struct.pack("=Qi", allowed, opened), 0)
        os.close(opened)
    done = libc.syscall(LANDLOCK_RESTRICT, ruleset, 0) == 0
    os.close(ruleset)
    return done


def forbid_sockets(libc: ctypes.CDLL) -> bool:
    """A seccomp filter under which socket(2) and io_uring_setup(2) fail. False where this machine is not known."""
    if platform.machine() not in SOCKET_CALLS:
        return False
    arch, socket_call, ring_call = SOCKET_CALLS[platform.machine()]
    load, equal, answer = 0x20, 0x15, 0x06
    allow, refuse = 0x7FFF0000, 0x00050001  # SECCOMP_RET_ALLOW; SECCOMP_RET_ERRNO with EPERM
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (load, 0, 0, 4),  # the architecture of the call
            (equal, 0, 4, arch),
            (load, 0, 0, 0),  # the number of the call
            (equal, 1, 0, socket_call),
            (equal, 0, 1, ring_call),
            (answer, 0, 0, refuse),
            (answer, 0, 0, allow),
        )
    )
    code = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code)))
    return libc.prctl(PR_SET_SECCOMP, 2, header, 0, 0) == 0


def confine(order: dict) -> dict[str, bool]:
    """Everything the kernel offers of the above, for this process and what it becomes; says what took hold."""
    held = {"limits": True, "files": False, "network": False, "dies_with_parent": False}
    limit(order)
    for ignored_by_python in (signal.SIGXFSZ, signal.SIGPIPE):
        signal.signal(ignored_by_python, signal.SIG_DFL)
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None, use_errno=True)
        held["dies_with_parent"] = libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        held["files"] = confine_files(libc, order["folder"], order["readable"])
        held["network"] = forbid_sockets(libc)
    return held


def main(arguments: list[str]) -> None:
    order = json.loads(arguments[0])
    if arguments[1] == "--probe":
        print(json.dumps(confine(order)))
        return
    confine(order)
    if os.getppid() == 1 and order["parent"] != 1:
        sys.exit(1)  # the starter died before the death signal was set
    try:
        os.execv(arguments[2], arguments[2:])
    except OSError as error:
        sys.exit(f"{arguments[2]} cannot be started: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
