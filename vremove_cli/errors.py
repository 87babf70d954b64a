"""Exit codes, and exceptions with a problem and an advice for the user.

Exception tree:

    VremoveError            exit code 1
        UsageError          2
        MediaError          3
        NothingError        4
        MemoryLimitError    5
        ModelError          6
        DoubtfulError       8
        NotReadyError       9

Every expected failure is a `VremoveError`. `explain` turns any exception into an exit code and one sentence, so that a
user sees a traceback with `--debug` only.
"""

import errno
from enum import IntEnum

# What Python's threads, the loader of libraries, OpenCV and torch say.
_OUT_OF_MEMORY = ("can't start new thread", "failed to map segment", "Insufficient memory", "can't allocate memory")


class ExitCode(IntEnum):
    """Exit status of every command.

    Attributes:
        OK: The command succeeded.
        ERROR: The work failed: a full disk, a damaged work folder, a defect of the tool.
        USAGE: The command line, a prompt or a setting is wrong.
        MEDIA: A file cannot be read or is not supported.
        NOTHING: A prompt matched nothing, or the mask is empty.
        MEMORY: Main memory or GPU memory is exhausted.
        MODEL: A model's weights are not available, or its licence is not accepted.
        BATCH: Some clips of a batch failed.
        DOUBTFUL: With --strict: the result is written, and doubtful.
        NOT_READY: `work --no-wait` or `--time-limit`: tasks are left that this process cannot do now.
        INTERRUPTED: Ctrl-C (128 + SIGINT).
    """

    OK = 0
    ERROR = 1
    USAGE = 2
    MEDIA = 3
    NOTHING = 4
    MEMORY = 5
    MODEL = 6
    BATCH = 7
    DOUBTFUL = 8
    NOT_READY = 9
    INTERRUPTED = 130


class VremoveError(Exception):
    """An expected failure.

    Attributes:
        problem: What is wrong, as plain text.
        advice: What the user can do next, as plain text; may be empty.
    """

    code = ExitCode.ERROR

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.advice = advice

    def __reduce__(self) -> tuple[object, ...]:
        """Return what makes the same error in another process."""
        return _again, (type(self), self.problem, self.advice, self.code)

    def __str__(self) -> str:
        if self.problem.endswith("."):
            return f"{self.problem} {self.advice}".strip()
        return f"{self.problem}: {self.advice}" if self.advice else self.problem


def _again(kind: type[VremoveError], problem: str, advice: str, code: ExitCode) -> VremoveError:
    error = kind(problem, advice)
    error.code = code
    return error


class Interrupted(BaseException):
    """A signal asked the command to end. Unlike `KeyboardInterrupt`, no library catches it on its way."""


class UsageError(VremoveError):
    """The command line, a prompt or a setting is wrong."""

    code = ExitCode.USAGE


class MediaError(VremoveError):
    """A file cannot be read, or the tool does not support its content."""

    code = ExitCode.MEDIA


class NothingError(VremoveError):
    """A prompt matched nothing, or the mask is empty."""

    code = ExitCode.NOTHING


class MemoryLimitError(VremoveError):
    """The memory or the address space that the process may use is too small."""

    code = ExitCode.MEMORY


class ModelError(VremoveError):
    """A model's weights are not available, or its licence is not accepted."""

    code = ExitCode.MODEL


class DoubtfulError(VremoveError):
    """The result is written, and `--strict` finds it doubtful."""

    code = ExitCode.DOUBTFUL


class NotReadyError(VremoveError):
    """Tasks are left that a worker cannot do now, or has no time for."""

    code = ExitCode.NOT_READY


def explain(error: BaseException) -> tuple[ExitCode, str]:
    """Return an exit code and one sentence for the user, for any exception."""
    if isinstance(error, VremoveError):
        return error.code, str(error)
    if isinstance(error, (Interrupted, KeyboardInterrupt)):
        return ExitCode.INTERRUPTED, "interrupted: run the same command again; what was finished is not repeated."
    if is_out_of_memory(error):
        return ExitCode.MEMORY, "out of memory: close other programs, or erase a shorter range with --start and --end."
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported here
        return ExitCode.MEMORY, (
            "the GPU is out of memory: close other programs on it, give a smaller --size, or run on --device cpu."
        )
    if isinstance(error, OSError):
        return ExitCode.ERROR, _explain_os(error)
    return (
        ExitCode.ERROR,
        f"internal error ({type(error).__name__}: {error}): run again with --debug and report the traceback.",
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception of any library means that memory or address space is exhausted."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) in (errno.ENOMEM, errno.EAGAIN):
        return True
    return any(words in str(error) for words in _OUT_OF_MEMORY)


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
