"""The commands of `dmix`: one module each, called after its command."""
