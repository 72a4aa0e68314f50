"""`python -m dmix_cli`, as launchers such as torchrun want it."""

from .main import main

if __name__ == "__main__":
    main()
