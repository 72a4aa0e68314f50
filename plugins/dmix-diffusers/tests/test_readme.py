"""The README's Python runs, from top to bottom, with fewer steps."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_readmes_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    names = {}
    for block in blocks:
        exec(re.sub(r"num_inference_steps=\d+", "num_inference_steps=10", block), names)
    assert names["picture"].mode == "RGBA"
    assert (names["output"].images.shape, names["output"].masks.shape) == ((1, 64, 64, 3), (1, 64, 64))
