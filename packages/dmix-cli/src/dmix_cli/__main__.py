"""The `dmix` command as a process; also `python -m dmix_cli`, as launchers such as torchrun want it."""

from .freed_memory import keep_freed_memory
from .main import main


def run() -> None:
    keep_freed_memory()
    main()


if __name__ == "__main__":
    run()
