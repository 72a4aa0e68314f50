"""What `dmix train --dry-run` prints: an estimate of memory, pace and time."""

from datetime import timedelta

from dmix_models.estimate import Estimate

from ...printing import say


def show(found: Estimate) -> None:
    """Print parameters, memory, pace and time."""
    height, width = found.model.size
    steps, batch = found.config.steps, found.config.batch_size
    whole = [
        ("weights", found.weights),
        ("gradients", found.weights),
        ("AdamW", 2 * found.weights),
        ("average", found.weights),
        ("kept for the backward pass", found.kept),
    ]
    processes = f", {found.processes} processes" if found.processes > 1 else ""
    say(f"A dry run: nothing was written.\n\n{found.model.name}: {found.model.role} of {width}x{height} pixels")
    _line("parameters", f"{found.parameters:,}")
    _line("memory, computed", f"{_size(found.computed)}: {', '.join(f'{what} {_size(size)}' for what, size in whole)}")
    _line("memory, measured", _measured(found))
    _line("pace", f"{1 / found.seconds:.2f} steps/s, {found.images_per_second:.1f} images/s in batches of {batch}")
    _line("measured on", f"{found.device}{processes}, median of ten steps")
    previews = f"{found.previews} previews of {_time(found.preview_seconds)} each"
    _line("the whole run", f"{_time(found.total_seconds)} for {steps} steps and {previews}")


def _line(what: str, text: str) -> None:
    say(f"  {what:<18} {text}")


def _measured(found: Estimate) -> str:
    if found.peak is None:
        return "unknown on this system"
    if found.device.startswith("cpu"):
        return f"resident memory grew by {_size(found.peak)} at least"
    return f"{_size(found.peak)} allocated at once on the device"


def _size(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds))) if seconds >= 10 else f"{seconds:.1f} s"
