"""What the server answers to a page, and what it refuses."""

import io
import json
import os
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

import dmix_studio
from dmix_core.rule_presets import PRESETS
from dmix_studio import routes
from dmix_studio.app import create_app
from dmix_studio.guard import Guard

MARK = {"x-dmix-studio": "1"}


def opened(data: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(data), formats=("PNG",)))


# ---- composing ------------------------------------------------------------------------------------------------


def test_each_step_streams_and_the_sample_has_masks_and_figures(client):
    page = client()
    variant = page.composed()
    steps, (planned,) = page.of("step"), page.of("planned")
    assert [each["done"] for each in steps] == [*range(1, planned["steps"] + 1)]
    assert {each["phase"] for each in steps} == {"alone", "merging", "climbing"}
    pictures = [each for each in steps if "parts" in each]
    assert [*map(set, pictures[0]["parts"])] == [{"image"}, {"image", "mask"}]
    assert not pictures[0]["patches"]
    assert pictures[-1]["patches"][0]["box"] == [0, 0, 64, 48]
    mask = opened(page.http.get(f"{page.own}/variants/{variant['id']}/mask.png").content)
    assert mask.shape == (48, 64)
    x, y, width, height = variant["objects"][0]["box"]
    assert mask[y : y + height, x : x + width].any()
    assert set(np.unique(mask)) == {0, 1}


def test_the_command_makes_the_same_picture(client, tmp_path, dotted):
    page = client()
    shrunk = {"merge rule": {"name": "shrunk-mask", "settings": {"way": "1", "threshold": 0.4}}}
    variant = page.composed(plugins=shrunk, listen_from=0.5, steps=15)
    words = shlex.split(variant["command"])
    assert words[0] == "dmix"
    subprocess.run([sys.executable, "-m", "dmix_cli", *words[1:], "-q"], cwd=tmp_path, check=True, env=os.environ)
    for what, name in (("images", "image"), ("masks", "mask")):
        served = page.http.get(f"{page.own}/variants/{variant['id']}/{name}.png").content
        assert (opened((tmp_path / f"again/{what}/0000.png").read_bytes()) == opened(served)).all()


def test_the_twin_is_the_background_without_objects(client, until):
    page = client()
    variant = page.composed()
    until(lambda: page.of("twin"))
    image, twin, mask = (
        opened(page.http.get(f"{page.own}/variants/{variant['id']}/{what}.png").content)
        for what in ("image", "twin", "mask")
    )
    assert (image != twin)[mask > 0].mean() > 0.5
    assert (image != twin).mean() < 0.5


def test_empty_masks_are_warned_of(client):
    variant = client().composed(objects=[{"model": "void-dot", "box": [0, 0, 12, 12]}])
    assert [each["text"] for each in variant["warnings"]] == ["nothing of it shows"]


def test_variants_are_neighbouring_seeds(client, until):
    page = client()
    page.compose(variants=3)
    until(lambda: len(page.of("sample")) == 3)
    assert [each["variant"]["seed"] for each in page.of("sample")] == [3, 4, 5]


def test_tabs_take_turns(client, until):
    one, other = client(), client()
    slow = [{"model": "slow-dot", "box": [0, 0, 12, 12]}]
    one.compose(variants=4, objects=slow)
    other.compose(objects=slow)
    until(lambda: other.of("sample"))
    assert len(one.of("sample")) < 4
    assert any(each["ahead"] for each in other.of("queue"))
    one.http.post(f"{one.own}/cancel")


def test_a_cancellation_is_told_at_once_and_nothing_comes_after_it(client, until):
    page = client()
    page.compose(variants=5, objects=[{"model": "slow-dot", "box": [0, 0, 12, 12]}], steps=200)
    until(lambda: page.of("step"))
    page.http.post(f"{page.own}/cancel")
    until(lambda: page.of("cancelled"), 2)
    counts = len(page.of("step"))
    assert page.composed()["seed"] == 3  # the process goes on to other work
    assert counts <= len(page.of("step")) <= counts + 20
    assert len(page.of("sample")) == 1


def test_a_closed_page_ends_its_work(client, studio, until, monkeypatch):
    monkeypatch.setattr("dmix_studio.tabs.GRACE", 0.1)
    page, (_, hub) = client(), studio
    page.compose(variants=5, objects=[{"model": "slow-dot", "box": [0, 0, 12, 12]}], steps=400)
    until(lambda: page.of("step"))
    page.close()
    until(lambda: hub.running is None and not len(hub.turns), 20)
    assert page.own.split("/")[-1] not in [tab.id for tab in hub.tabs.all()]


def test_a_crash_is_told_and_survived(client, until):
    page = client()
    page.composed()
    page.compose(objects=[{"model": "crash-dot", "box": [0, 0, 12, 12]}])
    (failed,) = until(lambda: page.of("failed"))
    assert "SIGKILL" in failed["message"]
    page.events.remove(failed)
    assert page.composed(seed=9)["seed"] == 9
    assert len(page.of("sample")) == 2


def test_what_a_step_refuses_is_told_in_words(client, until):
    page = client()
    page.compose(plugins={"timestep schedule": {"name": "tail-resampling", "settings": {"jump_length": 99}}})
    (failed,) = until(lambda: page.of("failed"))
    assert "use a shorter jump or more steps" in failed["message"]


def test_a_full_queue_is_told(client):
    page = client()
    slow = [{"model": "slow-dot", "box": [0, 0, 12, 12]}]
    answers = [page.compose(variants=16, objects=slow) for _ in range(2)]
    assert [each.status_code for each in answers] == [202, 429]
    page.http.post(f"{page.own}/cancel")


# ---- what may be named ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"background": "/etc/passwd"}, "no model '/etc/passwd'"),
        ({"objects": [{"model": "photo:/etc/passwd", "box": [0, 0, 4, 4]}]}, "no model"),
        ({"plugins": {"merge rule": {"name": "file-mask", "settings": {"path": "/etc/passwd"}}}}, "called 'path'"),
        ({"plugins": {"exporter": {"name": "x"}}}, "No kind of plugin"),
        ({"wraps": [{"name": "nothing", "around": "objects"}]}, "no wrapper"),
        ({"objects": []}, "objects"),
        ({"objects": [{"model": "dot", "box": [0, 0, 0, 4]}]}, "box"),
        ({"steps": 0}, "steps"),
        ({"merge_from": 2}, "merge_from"),
        ({"more": 1}, "more"),
    ],
)
def test_what_was_not_offered_is_refused(client, changes, told):
    answer = client().compose(**changes)
    assert answer.status_code in (400, 422)
    assert told in answer.json()["message"]


def test_plugins_are_listed_with_the_meaning_of_their_settings(client):
    offered = client().http.get("/api/catalogue").json()
    rules = {each["name"]: each for each in offered["plugins"]["merge rule"]}
    settings = {each["name"]: each for each in rules["shrunk-mask"]["settings"]}
    assert settings["pixels"]["about"] == "by how much masks are shrunk."
    assert [settings[name]["schema"]["type"] for name in ("pixels", "gently", "way")] == [
        "integer",
        "boolean",
        "string",
    ]
    assert [each["name"] for each in rules["file-mask"]["settings"]] == ["threshold"]


def test_pages_see_neither_files_nor_each_other(client):
    one, other = client(), client()
    variant = one.composed()
    paths = [
        f"{other.own}/variants/{variant['id']}/image.png",
        f"{one.own}/variants/{variant['id']}/recipe.png",
        "/page/../routes.py",
        "/page/%2e%2e%2froutes.py",
        "/page/routes.py",
        f"{one.own}/photographs/..%2f..%2fetc%2fpasswd",
        "/api/library/..%2f..%2fetc",
        "/api/tabs/notopen-notopen-no/variants/1/image.png",
    ]
    assert {path: one.http.get(path).status_code for path in paths} == dict.fromkeys(paths, 404)


# ---- photographs ----------------------------------------------------------------------------------------------


def test_pixels_of_a_photograph_that_no_object_owns_stay(client, photo):
    page = client()
    sent = page.http.post(f"{page.own}/photographs?name=../wall photo.png", content=photo.read_bytes()).json()
    assert (sent["label"], sent["size"]) == ("wall-photo", [70, 90])
    variant = page.composed(background=sent["id"], listen_from=0.3)
    image, mask = (
        opened(page.http.get(f"{page.own}/variants/{variant['id']}/{what}.png").content) for what in ("image", "mask")
    )
    assert (image == opened(photo.read_bytes()))[mask == 0].all()
    assert (mask == 1).any()
    assert page.of("step")[-1]["parts"][0] is None
    assert page.of("step")[-1]["patches"][0]["box"] == [20, 10, 12, 12]


def test_photographs_are_bounded_and_decoded_as_everywhere(client, studio, photo, monkeypatch):
    page = client()

    def send(data):
        return page.http.post(f"{page.own}/photographs?name=x.png", content=data)

    cut_off, vector = photo.read_bytes()[:-3000], b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    for data in (b"no picture", b"", cut_off, vector):
        assert (send(data).status_code, "'x.png'" in send(data).json()["message"]) == (400, True)
    monkeypatch.setattr("dmix_studio.uploads.UPLOAD_PIXELS", 90 * 70 - 1)
    assert send(photo.read_bytes()).status_code == 413
    monkeypatch.setattr(routes, "UPLOAD_BYTES", 1000)
    assert send(photo.read_bytes()).status_code == 413
    assert not [*(studio[1].tabs.folder / page.own.split("/")[-1]).iterdir()]


# ---- taking home ----------------------------------------------------------------------------------------------


def test_what_is_kept_is_taken_home(client, photo, tmp_path, until):
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    page = client()
    sent = page.http.post(f"{page.own}/photographs?name=wall.png", content=photo.read_bytes()).json()
    kept, _ = page.composed(background=sent["id"]), page.composed(seed=8)
    until(lambda: len(page.of("twin")) == 2)
    assert page.http.get(f"{page.own}/home.zip?formats=coco").status_code == 400
    page.http.put(f"{page.own}/variants/{kept['id']}/kept", content=b"true")
    answer = page.http.get(f"{page.own}/home.zip?formats=coco,yolo-seg,mvtec")
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extractall(tmp_path)
    (labels,) = tmp_path.glob("coco/**/*.json")
    read = coco.COCO(str(labels))
    (entry,) = read.loadAnns(read.getAnnIds())
    mask = opened(page.http.get(f"{page.own}/variants/{kept['id']}/mask.png").content)
    assert (read.annToMask(entry) == mask).all()
    assert read.loadCats(entry["category_id"])[0]["name"] == "dot"
    assert {"yolo-seg", "mvtec", "recipes", "photographs", "set"} <= {each.name for each in tmp_path.iterdir()}
    command = shlex.split((tmp_path / "commands.txt").read_text())
    subprocess.run([sys.executable, "-m", "dmix_cli", *command[1:], "-q"], cwd=tmp_path, check=True)
    made = (tmp_path / "again/000000/images/0000.png").read_bytes()
    assert (opened(made) == opened((tmp_path / "set/images/000000.png").read_bytes())).all()
    assert str(tmp_path.anchor + "tmp") not in (tmp_path / "recipes/000000.json").read_text()


def test_a_corrected_mask_is_stated_in_the_record(client):
    page = client()
    variant = page.composed()
    path = f"{page.own}/variants/{variant['id']}"
    index = opened(page.http.get(f"{path}/mask.png").content)
    index[0:3, 0:3] = 1
    painted = np.zeros((*index.shape, 3), np.uint8)
    painted[..., 0] = index
    buffer = io.BytesIO()
    Image.fromarray(painted).save(buffer, "PNG")
    seen = page.http.put(f"{path}/mask", content=buffer.getvalue()).json()
    assert seen["corrected"] == [1]
    assert seen["objects"][0]["box"][:2] == [0, 0]
    page.http.put(f"{path}/kept", content=b"true")
    with zipfile.ZipFile(io.BytesIO(page.http.get(f"{page.own}/home.zip").content)) as archive:
        line, *_ = archive.read("set/manifest.jsonl").splitlines()
        assert (opened(archive.read("set/masks/000000.png")) == index).all()
    entry = json.loads(line)
    assert entry["flags"] == entry["objects"][0]["flags"] == ["mask-corrected-by-hand"]
    assert entry["objects"][0]["area"] == (index == 1).sum()


@pytest.mark.parametrize("shape", [(48, 64), (10, 10)])
def test_a_mask_that_does_not_fit_is_refused(client, shape):
    page = client()
    path = f"{page.own}/variants/{page.composed()['id']}/mask"
    buffer = io.BytesIO()
    Image.fromarray(np.full(shape, 2, np.uint8)).save(buffer, "PNG")
    assert page.http.put(path, content=buffer.getvalue()).status_code == 400
    assert page.http.put(path, content=b"no picture").status_code == 400


def test_a_set_like_a_picture_is_made_and_listed(client, place, until):
    page = client()
    order = {"variant": page.composed()["id"], "name": "more-dots", "n": 3, "reject": False}
    assert page.http.post(f"{page.own}/sets", json=order).status_code == 202
    assert page.http.post(f"{page.own}/sets", json=order).status_code == 409
    until(lambda: page.of("set") and page.of("set")[-1]["state"] in ("finished", "failed"), 240)
    assert page.of("set")[-1] == {"event": "set", "name": "more-dots", "state": "finished"}
    assert [each["done"] for each in page.of("set") if each["state"] == "going"] == [1, 2, 3]
    (found,) = [each for each in page.http.get("/api/library").json() if each["name"] == "more-dots"]
    assert (found["kind"], found["samples"], found["planned"]) == ("set", 3, 3)
    report = page.http.get(f"/api/library/{found['id']}")
    assert "3 samples" in report.text
    assert report.headers["content-security-policy"].startswith("sandbox allow-scripts; default-src 'none'")
    assert page.http.post(f"{page.own}/sets", json=order).status_code == 409


@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a/b", "x" * 65])
def test_a_set_lies_in_the_given_folder(client, name):
    page = client()
    assert page.http.post(f"{page.own}/sets", json={"variant": "1", "name": name}).status_code == 422
    assert page.http.post(f"{page.own}/sets/..%2fup/go-on").status_code == 404


# ---- who may ask ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The application without its processes: no request here gets so far."""
    return create_app([tmp_path_factory.mktemp("given")], Guard(token="secret", hosts=None))


def test_every_route_asks_for_the_token(app):
    page = TestClient(app, headers=MARK)
    asked = []
    for route in app.routes:
        path = route.path.format(name="x", id="x", tab="x" * 20, photograph="x", variant="x", what="image")
        for method in route.methods:
            asked.append(path)
            for given in ({}, {"authorization": "Bearer wrong"}, {"cookie": "dmix-studio=wrong"}):
                assert page.request(method, path, headers=given).status_code == 401, (method, path)
    assert len(asked) > 15


def test_the_token_of_the_address_becomes_a_cookie(app):
    page = TestClient(app, headers=MARK)
    answer = page.get("/?token=secret", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "SameSite=strict" in answer.headers["set-cookie"]
    assert page.get("/").status_code == 200


@pytest.fixture
def local(tmp_path):
    return TestClient(create_app([tmp_path]), base_url="http://localhost:8765")


def test_other_sites_and_other_names_are_refused(local):
    assert local.get("/").status_code == 200
    for headers in ({"host": "evil.example"}, {"host": "evil.example:8765"}, {"sec-fetch-site": "cross-site"}):
        assert local.get("/", headers=headers).status_code == 403
    assert local.post(f"/api/tabs/{'x' * 20}/cancel").status_code == 403
    assert local.post(f"/api/tabs/{'x' * 20}/cancel", headers=MARK).status_code == 404


def test_a_browser_is_told_to_fetch_nothing_from_elsewhere(local):
    for path in ("/", "/page/main.js", "/page/nothing.js"):
        policy = local.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy


def test_the_page_names_no_other_host():
    for path in routes.FILES.values():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http" not in text.replace("http-equiv", ""), path


def test_the_page_s_presets_are_dmix_s_own():
    script = (Path(dmix_studio.__file__).parent / "page/settings.js").read_text(encoding="utf-8")
    for name, preset in PRESETS.items():
        within = preset.in_photographs
        photograph = f", photograph: {_in_script(within.walk)}" if within else ""
        assert f"{name}: {{ painted: {_in_script(preset.walk)}{photograph} }}" in script
        if within:
            assert within.walk[3:] == ("ddim", {"ancestral_from": 1})
            listening, threshold = within.listen_from, within.threshold
            assert f"LISTEN_IN_PHOTOGRAPHS = {listening}, THRESHOLD_IN_PHOTOGRAPHS = {threshold}" in script


def _in_script(walk):
    return f"{{ steps: {walk.steps}, resamples: {walk.resamples}, jump_length: {walk.jump_length} }}"
