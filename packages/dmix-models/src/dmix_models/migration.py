"""Configs of earlier formats, made into today's."""

from collections.abc import Mapping
from typing import Any


def migrated(config: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a config.json of format 1 as format 2; any other config as it is.

    Format 1 knew one family of networks and had its config under the key `unet`; format 2 has it under `network`,
    with its `kind`.
    """
    data = dict(config)
    if data.get("format_version", 1) != 1 or "network" in data:
        return data
    data["format_version"] = 2
    if "unet" in data:
        network = data.pop("unet")
        data["network"] = {"kind": "unet", **network} if isinstance(network, Mapping) else network
    return data
