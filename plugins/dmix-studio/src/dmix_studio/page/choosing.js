// The pictures that were made: keep or throw away, warnings, the twin, and the mask corrected by hand.

import { ask, own } from "./api.js";
import { Brush } from "./brush.js";
import { $, el, complain, picture, refill, say, trying } from "./dom.js";

export class Choosing {
  constructor(store, models, onKept) {
    Object.assign(this, { store, models, onKept, variants: new Map(), scenes: new Map(), chosen: null, twin: false, brush: new Brush() });
    $("keep").onclick = trying(() => this.keep());
    $("throw").onclick = trying(() => this.throwAway());
    $("outlines").onchange = () => this.show();
    $("twin").onclick = () => this.showTwin(!this.twin);
    $("again").onclick = () => this.drawAgain();
    $("copy").onclick = trying(() => navigator.clipboard.writeText($("command").textContent));
    $("brush").onclick = trying(() => this.correct());
    $("brush-done").onclick = trying(() => this.useMask());
    $("brush-stop").onclick = () => this.leaveBrush();
    addEventListener("keydown", (event) => { if (this.wantsTwin(event)) this.showTwin(true); });
    addEventListener("keyup", (event) => { if (this.wantsTwin(event)) this.showTwin(false); });
    $("variants-strip").addEventListener("keydown", (event) => this.key(event));
  }

  wantsTwin({ key, target, ctrlKey, metaKey, repeat }) {
    return key.toLowerCase() === "t" && !ctrlKey && !metaKey && !repeat && !target.closest("input, select, textarea") && this.chosen;
  }

  url(what, variant = this.variants.get(this.chosen)) { return own(`variants/${variant.id}/${what}?${variant.version ?? 0}`); }

  // ---- the strip

  add(variant, scene) {
    this.variants.set(variant.id, variant);
    if (scene) this.scenes.set(variant.id, scene);
    $("choosing").hidden = false;
    this.drawStrip();
    if (!this.brush.active && !this.holding) this.choose(variant.id);
  }

  remove(id) {
    const ids = [...this.variants.keys()], place = ids.indexOf(id);
    this.variants.delete(id);
    if (this.chosen === id) this.chosen = null;
    this.drawStrip();
    const next = ids[place + 1] ?? ids[place - 1];
    if (next && !this.chosen) this.choose(next);
    $("choosing").hidden = !this.variants.size;
    this.onKept(this.kept());
  }

  kept() { return [...this.variants.values()].filter((each) => each.kept); }

  drawStrip() {
    refill($("variants-strip"), [...this.variants.values()].map((each) => {
      const image = el("img", { src: this.url("image.png", each), alt: "" });
      const label = `seed ${each.seed}${each.kept ? ", kept" : ""}${each.warnings.length ? ", with warnings" : ""}`;
      const button = el("button", { onclick: () => this.choose(each.id), attr: { "aria-pressed": each.id === this.chosen, "aria-label": label, "data-focus": each.id } }, image);
      return el("li", { className: each.kept ? "kept" : "" }, button, `${each.seed}${each.kept ? " ✓" : ""}${each.warnings.length ? " ⚠" : ""}`);
    }));
  }

  /** Arrows go through the pictures, Enter keeps one, Delete throws it away. */
  key(event) {
    const ids = [...this.variants.keys()], place = ids.indexOf(this.chosen);
    const next = { ArrowLeft: ids[place - 1], ArrowRight: ids[place + 1] }[event.key];
    if (next) this.choose(next).then(() => $("variants-strip").querySelector(`[data-focus="${next}"]`).focus());
    else if (event.key === "Enter") trying(() => this.keep())();
    else if (event.key === "Delete") trying(() => this.throwAway())();
    else return;
    event.preventDefault();
  }

  // ---- one picture

  async choose(id) {
    if (this.brush.active) this.leaveBrush();
    this.chosen = id;
    this.drawStrip();
    await this.show();
  }

  async show() {
    const variant = this.variants.get(this.chosen);
    $("chosen").hidden = !variant;
    if (!variant) return;
    $("keep").textContent = variant.kept ? "Keep no longer" : "Keep";
    $("twin").disabled = !variant.twin;
    this.words(variant);
    const wanted = this.twin && variant.twin ? "twin.png" : "image.png";
    const [image, mask] = await Promise.all([picture(this.url(wanted, variant)), picture(this.url("mask.png", variant))]);
    if (this.chosen === variant.id && !this.brush.active) this.paint(image, !this.twin && $("outlines").checked ? mask : null);
  }

  paint(image, mask) {
    const canvas = $("large"), times = enlargement(image);
    canvas.width = image.width * times;
    canvas.height = image.height * times;
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.imageSmoothingEnabled = false;
    pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    if (mask) outline(pen, mask, times);
  }

  words(variant) {
    const name = (i) => `${i + 1} ${variant.objects[i].name}`;
    const warnings = variant.warnings.filter((each) => !variant.corrected.includes(each.object + 1)).map((each) => `${name(each.object)}: ${each.text}.`);
    const corrected = variant.corrected.map((value) => `${name(value - 1)}: its mask was corrected by hand, which the record states.`);
    $("warnings").replaceChildren(...[...warnings, ...corrected].map((text) => el("li", { textContent: text })));
    const rows = variant.objects.map((each, i) => [name(i), each.box ? each.box.join(", ") : "nothing shows", each.contrast ?? "–"]);
    const cell = (kind) => (text) => el(kind, { textContent: text });
    $("figures").replaceChildren(el("tr", {}, ...["object", "box (x, y, width, height)", "contrast in grey levels"].map(cell("th"))), ...rows.map((row) => el("tr", {}, ...row.map(cell("td")))));
    $("command").textContent = variant.command;
    $("recipe").href = this.url("recipe.json", variant);
  }

  showTwin(on) {
    if (this.twin === on || !this.variants.get(this.chosen)?.twin) return;
    this.twin = on;
    $("twin").setAttribute("aria-pressed", on);
    this.show();
  }

  async keep() {
    const variant = this.variants.get(this.chosen);
    Object.assign(variant, await ask("PUT", own(`variants/${variant.id}/kept`), !variant.kept));
    say(variant.kept ? "Kept." : "Kept no longer.");
    this.drawStrip();
    this.words(variant);
    $("keep").textContent = variant.kept ? "Keep no longer" : "Keep";
    this.onKept(this.kept());
  }

  async throwAway() {
    const id = this.chosen;
    await ask("DELETE", own(`variants/${id}`));
    say("Thrown away.");
    this.remove(id);
  }

  /** The scene of this picture on the canvas again, with its seed. */
  drawAgain() {
    const scene = this.scenes.get(this.chosen);
    if (!scene) return complain("What was drawn for this picture is not known any more; its recipe is.");
    this.store.change(() => ({ ...scene, settings: { ...scene.settings, seed: this.variants.get(this.chosen).seed } }));
  }

  // ---- the brush

  async correct() {
    if (this.brush.active) return this.leaveBrush();
    const variant = this.variants.get(this.chosen);
    const [image, mask] = await Promise.all([picture(this.url("image.png", variant)), picture(this.url("mask.png", variant))]);
    const values = await maskValues(this.url("mask.png", variant), mask, variant.objects.length);
    $("brush-object").replaceChildren(...variant.objects.map((each, i) => el("option", { value: i + 1, textContent: `${i + 1} ${each.name}` })));
    $("brushes").hidden = false;
    $("brush").setAttribute("aria-pressed", true);
    this.brush.begin(image, values, enlargement(image));
  }

  leaveBrush() {
    this.brush.end();
    $("brushes").hidden = true;
    $("brush").setAttribute("aria-pressed", false);
    this.show();
  }

  async useMask() {
    const variant = this.variants.get(this.chosen);
    Object.assign(variant, await ask("PUT", own(`variants/${variant.id}/mask`), await this.brush.png(), "image/png"));
    variant.version = (variant.version ?? 0) + 1;
    this.leaveBrush();
    say("The mask was corrected, which the record states.");
  }
}

const enlargement = (image) => Math.max(1, Math.floor(720 / Math.max(image.width, image.height)));

/** Lines along the edges of a mask's colours. */
function outline(pen, mask, times) {
  const { width, height, data } = pixelsOf(mask);
  const colour = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? "0,0,0" : data.slice(4 * (y * width + x), 4 * (y * width + x) + 3).join());
  const thick = Math.max(1, Math.round(times / 5));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const here = 4 * (y * width + x);
      if (!(data[here] | data[here + 1] | data[here + 2])) continue;
      const own = colour(x, y);
      pen.fillStyle = `rgb(${own})`;
      if (colour(x - 1, y) !== own) pen.fillRect(x * times, y * times, thick, times);
      if (colour(x + 1, y) !== own) pen.fillRect((x + 1) * times - thick, y * times, thick, times);
      if (colour(x, y - 1) !== own) pen.fillRect(x * times, y * times, times, thick);
      if (colour(x, y + 1) !== own) pen.fillRect(x * times, (y + 1) * times - thick, times, thick);
    }
  }
}

function pixelsOf(image) {
  const canvas = el("canvas", { width: image.width, height: image.height }), pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0);
  return pen.getImageData(0, 0, image.width, image.height);
}

/** The values (one byte for each pixel) of a mask, by the colours of its palette. */
async function maskValues(url, mask, count) {
  const data = new Uint8Array(await (await fetch(url)).arrayBuffer()), view = new DataView(data.buffer);
  let palette = [];
  for (let at = 8; at < data.length; at += 12 + view.getUint32(at)) {
    if (String.fromCharCode(...data.slice(at + 4, at + 8)) === "PLTE") palette = data.slice(at + 8, at + 8 + 3 * (count + 1));
  }
  const { data: pixels } = pixelsOf(mask), values = new Uint8Array(pixels.length / 4), first = new Map();
  for (let value = count; value >= 0; value--) first.set(palette.slice(3 * value, 3 * value + 3).join(), value);
  for (let i = 0; i < values.length; i++) values[i] = first.get(pixels.slice(4 * i, 4 * i + 3).join()) ?? 0;
  return { values, width: mask.width, height: mask.height };
}
