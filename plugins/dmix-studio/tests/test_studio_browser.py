"""The page in a real browser: Debian's Chromium, by Playwright."""

import io
import shutil
import statistics
import time
import zipfile
from pathlib import Path

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
if not Path(CHROMIUM).exists():
    pytest.skip("there is no Chromium; `apt-get install chromium` brings one", allow_module_level=True)
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, studio):
    """A function that opens the page; it fails in the end if anything was asked of another host, or a script failed."""
    address, opened, wrong = studio[0], [], []

    def make(**options):
        context = browser.new_context(
            **{"viewport": {"width": 1360, "height": 900}, "accept_downloads": True, **options}
        )
        opened.append(context)
        context.set_default_timeout(60_000)

        def route(request):
            if request.request.url.startswith(address):
                return request.continue_()
            wrong.append(request.request.url)
            return request.abort()

        context.route("**/*", route)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        page.select_option("#background", "meadow")
        page.check("#palette input[value=dot]")
        set_number(page, "#field-jump_length", 2)
        set_number(page, "#field-steps", 12)
        return page

    yield make
    for context in opened:
        context.close()
    assert wrong == []


def set_number(page, field, value):
    page.fill(field, str(value))
    page.locator(field).press("Tab")


def middle(page):
    page.locator("#stage").scroll_into_view_if_needed()
    box = page.locator("#stage").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page, start, end, steps=6):
    x, y = middle(page)
    page.mouse.move(x + start[0], y + start[1])
    page.mouse.down()
    page.mouse.move(x + end[0], y + end[1], steps=steps)
    page.mouse.up()


def numbers(page, place=1):
    """x, y, width and height of a box, by its fields."""
    names = ("x", "y", "width", "height")
    return [int(page.get_by_label(f"{name} of box {place}", exact=True).input_value()) for name in names]


def wait(page, expression, seconds=60.0):
    """Wait until a script is true; Playwright's own waiting evaluates texts in the page, which its policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(20)


def compose(page, variants=1):
    page.fill("#variants", str(variants))
    before = page.locator("#variants-strip li").count()
    page.click("#run")
    wait(page, f"document.querySelectorAll('#variants-strip li').length >= {before + variants}")


def test_draw_run_keep_and_take_home(visit, tmp_path):
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    page = visit()
    drag(page, (-100, -60), (30, 70))
    assert numbers(page)[2:] == [12, 12]  # near its own size, it snaps to that
    compose(page, 2)
    page.wait_for_selector("#strip .meets")
    assert page.locator("#parts li").count() == 2
    assert page.locator("#parts li").nth(1).locator("canvas").count() == 2
    page.click("#keep")
    page.wait_for_selector("#variants-strip .kept")
    with page.expect_download() as waiting:
        page.click("#download")
    with zipfile.ZipFile(io.BytesIO(Path(waiting.value.path()).read_bytes())) as archive:
        archive.extractall(tmp_path)
    (labels,) = tmp_path.glob("coco/**/*.json")
    read = coco.COCO(str(labels))
    (entry,) = read.loadAnns(read.getAnnIds())
    x, y, width, height = numbers(page)
    assert x <= entry["bbox"][0]
    assert entry["bbox"][0] + entry["bbox"][2] <= x + width
    assert y <= entry["bbox"][1]
    assert entry["bbox"][1] + entry["bbox"][3] <= y + height
    assert read.annToMask(entry).sum() == entry["area"] > 0


def test_a_larger_box_is_hinted_at_and_undone(visit):
    page = visit()
    drag(page, (-150, -150), (150, 150))
    assert "enlarged" in page.text_content("#hint")
    page.keyboard.press("Control+z")
    assert page.locator("#boxes g[data-key]").count() == 0
    page.keyboard.press("Control+Shift+Z")
    assert page.locator("#boxes g[data-key]").count() == 1
    before = numbers(page)
    drag(page, (0, 0), (40, 0))
    assert numbers(page)[0] > before[0]
    assert numbers(page)[2:] == before[2:]


def test_keys_alone(visit):
    page = visit()
    page.focus("#add")
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowUp")
    assert numbers(page) == [34, 17, 12, 12]
    page.keyboard.press("Alt+ArrowRight")
    assert numbers(page)[2:] == [13, 12]
    page.focus("#add")
    page.keyboard.press("Enter")
    page.keyboard.press("PageDown")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("1 dot: x")
    page.keyboard.press("Delete")
    assert page.locator("#boxes g[data-key]").count() == 1
    page.get_by_label("x of box 1", exact=True).fill("5")
    page.keyboard.press("Tab")
    assert numbers(page)[0] == 5
    page.focus("#run")
    page.keyboard.press("Enter")
    page.wait_for_selector("#variants-strip li")
    wait(page, "!document.querySelector('#run').disabled")
    page.focus("#variants-strip button")
    page.keyboard.press("Enter")  # which presses the button: it is chosen
    page.focus("#keep")
    page.keyboard.press("Enter")
    page.wait_for_selector("#variants-strip .kept")


def test_cancel_at_once(visit):
    page = visit()
    page.check("#palette input[value=slow-dot]")
    page.mouse.click(*middle(page))
    set_number(page, "#field-steps", 300)
    page.fill("#variants", "3")
    page.click("#run")
    page.wait_for_selector("#strip li")
    page.click("#cancel")
    wait(page, "document.querySelector('#left').textContent === 'Cancelled.'", 3)
    assert page.is_enabled("#run")


def test_two_tabs_at_once(visit):
    one, other = visit(), visit()
    for page in (one, other):
        page.mouse.click(*middle(page))
        page.fill("#variants", "2")
        page.click("#run")
    for page in (one, other):
        wait(page, "document.querySelectorAll('#variants-strip li').length === 2")


def test_the_twin_by_a_key_and_the_mask_by_a_brush(visit):
    page = visit()
    page.mouse.click(*middle(page))
    compose(page)
    page.wait_for_selector("#twin:enabled")
    large = "document.querySelector('#large').toDataURL()"
    before = page.evaluate(large)
    page.focus("#large")
    page.keyboard.down("t")
    wait(page, f"{large} !== {before!r}")
    page.keyboard.up("t")
    wait(page, f"{large} === {before!r}")
    page.click("#brush")
    page.wait_for_selector("#large.painting")
    for key in ["ArrowLeft"] * 15 + ["Space"]:  # from the middle of the disc to where it is not
        page.keyboard.press(key)
    page.click("#brush-done")
    wait(page, "document.querySelector('#warnings').textContent.includes('corrected by hand')")


def test_a_photograph_is_taken_and_drawn_on(visit, photo):
    page = visit()
    page.set_input_files("#photograph", str(photo))
    wait(page, "document.querySelector('#picture').width === 90")
    assert page.input_value("#field-listen_from") == "0.3"
    page.select_option("#field-preset", "recommended")
    assert (page.input_value("#field-steps"), page.input_value("#field-stepper")) == ("30", "ddim")
    page.mouse.click(*middle(page))
    compose(page)
    page.reload()
    page.wait_for_selector("body[data-ready]")  # the tab has its scene and pictures still
    assert page.locator("#boxes g[data-key]").count() == 1
    assert page.locator("#variants-strip li").count() == 1


def test_a_crash_is_told_and_the_page_goes_on(visit):
    page = visit()
    page.check("#palette input[value=crash-dot]")
    page.mouse.click(*middle(page))
    page.click("#run")
    page.wait_for_selector("#problem:visible")
    assert "SIGKILL" in page.text_content("#problem")
    page.keyboard.press("Control+z")
    page.check("#palette input[value=dot]")
    page.mouse.click(*middle(page))
    compose(page)
    assert page.is_hidden("#problem")


TIMED = """
window.spent = { frame: [], keydown: [], pointerup: [] };
const ask = window.requestAnimationFrame.bind(window);
const timed = (name, started) => window.spent[name].push(performance.now() - started);
window.requestAnimationFrame = (draw) => ask((now) => {
  const started = performance.now();
  draw(now);
  timed("frame", started);
});
let began;
for (const name of ["keydown", "pointerup"]) {
  addEventListener(name, () => { began = performance.now(); }, true);
  addEventListener(name, () => timed(name, began));
}
"""
"""Notes how long the page's own scripts take for each change, in milliseconds."""


def test_thirty_boxes_stay_fluid(visit):
    page = visit()
    for _ in range(30):
        page.click("#add")
    assert page.locator("#boxes g[data-key]").count() == 30
    page.evaluate(TIMED)
    box = page.locator("#boxes .selected .shape").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    for _ in range(5):
        page.mouse.down()
        page.mouse.move(x - 60, y - 60, steps=10)
        page.mouse.move(x, y, steps=10)
        page.mouse.move(x - 9, y)
        page.mouse.up()
        page.keyboard.press("ArrowRight")
    spent = page.evaluate("spent")
    assert len(spent["frame"]) > 20
    for times in spent.values():
        assert statistics.median(times) < 16  # a screen's picture: with all rows made anew it was 25


def test_a_copied_tab_has_work_of_its_own(visit):
    page = visit()
    page.mouse.click(*middle(page))
    with page.context.expect_page() as opening:
        page.evaluate("void open(location.href)")  # which copies the session's storage, as duplicating a tab does
    copy = opening.value
    copy.wait_for_selector("body[data-ready]")
    name = "sessionStorage.getItem('dmix-studio-tab')"
    assert copy.evaluate(name) != page.evaluate(name)
    assert copy.locator("#boxes g[data-key]").count() == 1
    compose(copy)
    assert page.locator("#variants-strip li").count() == 0
    copy.close()
    compose(page)


def test_a_copy_of_a_frozen_tab_has_an_id_of_its_own(visit, studio):
    page, name = visit(), "sessionStorage.getItem('dmix-studio-tab')"
    page.context.add_init_script("window.BroadcastChannel = class { postMessage() {} };")  # the first is not heard
    with page.context.expect_page() as opened:
        page.evaluate("window.open(location.href) && 0")
    copy = opened.value
    copy.wait_for_selector("body[data-ready]")
    assert copy.evaluate(name) != page.evaluate(name)
    assert studio[1].tabs.get(page.evaluate(name)).streaming


def test_two_fingers_zoom_and_draw_nothing(visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True)
    x, y = middle(page)
    fingers = page.context.new_cdp_session(page)

    def touch(kind, *apart):
        points = [{"x": x + each, "y": y, "id": i} for i, each in enumerate(apart)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.wait_for_timeout(40)

    seen = "Number(document.querySelector('#boxes').getAttribute('viewBox').split(' ')[2])"
    before = page.evaluate(seen)
    touch("touchStart", -30)
    touch("touchStart", -30, 30)
    for far in (40, 60, 90):
        touch("touchMove", -far, far)
    touch("touchEnd")
    assert page.evaluate(seen) == pytest.approx(before / 3, rel=0.02)
    assert page.locator("#boxes g[data-key]").count() == 0
    touch("touchStart", -30)  # one finger draws
    for far in (0, 40, 60):
        touch("touchMove", far)
    touch("touchEnd")
    assert page.locator("#boxes g[data-key]").count() == 1


def test_a_phone_shows_the_canvas_then_pictures_then_settings(visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.touchscreen.tap(*middle(page))
    compose(page)
    parts = ("#work", "#watching", "#choosing", "aside", "#home")
    tops = [page.locator(each).bounding_box()["y"] for each in parts]
    assert tops == sorted(tops)
    for button in page.get_by_role("button").all():
        assert not button.is_visible() or button.bounding_box()["height"] >= 44


@pytest.mark.parametrize(("scheme", "width"), [("light", 1360), ("dark", 1360), ("light", 390), ("dark", 390)])
def test_nothing_serious_is_found_by_axe(visit, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = visit(color_scheme=scheme, viewport={"width": width, "height": 844}, bypass_csp=True)
    page.click("#add")
    compose(page)
    violations = axe.Axe().run(page).response["violations"]
    found = [(each["impact"], each["id"], each["nodes"][0]["html"]) for each in violations]
    assert [each for each in found if each[0] in ("serious", "critical")] == []


def test_the_page_fits_a_phone(visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True)
    page.touchscreen.tap(*middle(page))
    assert page.locator("#boxes g[data-key]").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
