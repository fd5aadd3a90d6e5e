"""The `effml` command: gathers the verbs and turns every outcome into one line and an exit code."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys

import typer

from effml.cli import compare, data, describe, doctor, figures, listing, run, show, status, sweep, table
from effml.errors import MissingRequirement, Outcome, RunInterrupted

INTERRUPTED = RunInterrupted.code
FULL = (errno.ENOSPC, errno.EDQUOT)

app = typer.Typer(
    name="effml",
    help="Find out whether an efficient machine-learning method really pays.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("list")(listing.list_experiments)
app.command("describe")(describe.describe)
app.command("run")(run.run)
app.command("sweep")(sweep.sweep)
app.command("show")(show.show)
app.command("status")(status.status)
app.command("table")(table.table)
app.command("plot")(figures.plot)
app.command("report")(figures.report)
app.command("compare")(compare.compare)
app.command("reproduce")(compare.reproduce)
app.command("gc")(status.gc)
app.add_typer(data.app, name="data")
app.command("doctor")(doctor.doctor)


@app.callback()
def options(
    traceback: bool = typer.Option(False, "--traceback", help="Show the full traceback of a failure."),
    version: bool = typer.Option(False, "--version", help="Print the version and end."),
) -> None:
    """Run, sweep and tabulate efficient-ML experiments, measured against honest baselines on this machine."""
    if version:
        import effml

        print(f"effml {effml.__version__}")
        raise typer.Exit
    if traceback:
        os.environ["EFFML_TRACEBACK"] = "1"


def main() -> None:
    """The process's entry: it ends with the outcome's exit code, however often Ctrl-C is pressed."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal without the marks of tables gets their codes, not an error.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = command(sys.argv[1:])
        code = _flush(code)
    except KeyboardInterrupt:  # pressed again while the first press was being reported
        code = INTERRUPTED
    if code == INTERRUPTED:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a later press would turn the exit into a death by signal
    sys.exit(code)


def _flush(code: int) -> int:
    """What is left goes out now, where a reader that has left is no error; returns the exit code."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            return _cannot_write(error)
    return code


def _cannot_write(error: OSError) -> int:
    remedy = "; make room and give the command again" if error.errno in FULL else ""
    print(f"effml: cannot write: {error.strerror}{remedy}", file=sys.stderr)
    return MissingRequirement.code


def command(words: list[str]) -> int:
    """Run one command line in this process; returns its exit code."""
    # --traceback is understood anywhere on the line, because it is added when something has just failed.
    if "--traceback" in words:
        words = ["--traceback", *(word for word in words if word != "--traceback")]
    try:
        app(args=words)
    except SystemExit as end:  # how typer ends every command
        if isinstance(end.__context__, BrokenPipeError):  # the reader of `effml ... | head` has what it wanted
            return 0
        return int(end.code or 0)
    except Outcome as outcome:
        if os.environ.get("EFFML_TRACEBACK"):
            raise
        print(f"effml: {outcome}", file=sys.stderr)
        return outcome.code
    except KeyboardInterrupt:
        print("effml: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if os.environ.get("EFFML_TRACEBACK"):
            raise
        if isinstance(error, OSError) and error.errno in FULL:
            return _cannot_write(error)
        print(f"effml: {type(error).__name__}: {error} (a bug; --traceback shows where)", file=sys.stderr)
        return 1
    return 0
