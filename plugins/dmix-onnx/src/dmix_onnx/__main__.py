"""`python -m dmix_onnx MODEL FILE` writes a model as an ONNX file."""

import argparse
import sys
from collections.abc import Sequence

from dmix_core import Registry
from dmix_core.errors import DmixError

from .models import write_model


def main(words: Sequence[str] | None = None) -> None:
    """Run the command of these words, of the command line if None."""
    parser = argparse.ArgumentParser("python -m dmix_onnx", description="Write a model as an ONNX file.")
    parser.add_argument("model", help="a bundled model or a checkpoint folder")
    parser.add_argument("file", help="the file to write, such as model.onnx")
    typed = parser.parse_args(words)
    try:
        print(f"Wrote {write_model(Registry.load().denoiser(typed.model), typed.file)}")
    except DmixError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
