"""What can go wrong, as one exit code and one sentence that says what to do next.

Every expected failure is a `VremoveError`: `problem` says what is wrong, `advice` says what to do. `explain` turns
any other exception into the same pair, so that a user never meets a traceback unless `--debug` asks for one.
"""

import errno
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit status of every command."""

    OK = 0
    ERROR = 1
    USAGE = 2
    MEDIA = 3
    NOTHING = 4
    MEMORY = 5
    MODEL = 6
    BATCH = 7
    INTERRUPTED = 130


class VremoveError(Exception):
    """An expected failure: `problem` (what is wrong) and `advice` (what to do next), both plain text."""

    code = ExitCode.ERROR

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.problem} {self.advice}".strip() if self.problem.endswith(".") else _join(self)


def _join(error: VremoveError) -> str:
    return f"{error.problem}: {error.advice}" if error.advice else error.problem


class UsageError(VremoveError):
    """The command line, a prompt or a setting is wrong."""

    code = ExitCode.USAGE


class MediaError(VremoveError):
    """A file cannot be read, or holds what the tool does not support."""

    code = ExitCode.MEDIA


class NothingError(VremoveError):
    """The prompt matched nothing, or the mask is empty."""

    code = ExitCode.NOTHING


class ModelError(VremoveError):
    """A model is unknown, or its weights are not available."""

    code = ExitCode.MODEL


def explain(error: BaseException) -> tuple[ExitCode, str]:
    """Exit code and one sentence for any exception that reached the top."""
    if isinstance(error, VremoveError):
        return error.code, str(error)
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED, "interrupted: run the same command again, and it goes on from what was done."
    if isinstance(error, MemoryError):
        return ExitCode.MEMORY, "out of memory: close other programs, or erase a shorter range with --start and --end."
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported here
        return ExitCode.MEMORY, (
            "the GPU is out of memory: close what else runs on it, give a smaller --size, or run on --device cpu."
        )
    if isinstance(error, OSError):
        return ExitCode.ERROR, _explain_os(error)
    return (
        ExitCode.ERROR,
        f"internal error ({type(error).__name__}: {error}): run again with --debug and report what it prints.",
    )


def _explain_os(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full{where}: free some space, or put the work elsewhere with --work, then run again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"no permission to read or write{where}: choose another place with -o and --work."
    if error.errno == errno.ENOENT:
        return f"no such file or folder{where}: check the path."
    if error.errno == errno.EPIPE:
        return "the reader of this output went away: nothing more was written."
    if error.errno == errno.EFBIG:
        return f"the file would grow beyond the allowed size{where}: raise the limit or write elsewhere with -o."
    return f"the operating system refused{where}: {error.strerror or error}."
