"""The entry point of the command and of `python -m vremove_cli`: signals count from the first moment on."""

import signal
import sys
from types import FrameType

from vremove_cli.errors import Interrupted, explain


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise Interrupted


def main() -> None:
    """Run the `vremove` command."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # there is no SIGHUP on Windows
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) != signal.SIG_IGN:
            signal.signal(getattr(signal, name), _interrupt)
    try:
        from vremove_cli import app

        app.main()
    except Interrupted as error:
        code, sentence = explain(error)
        print(f"vremove: {sentence}", file=sys.stderr)
        sys.exit(int(code))


if __name__ == "__main__":
    main()
