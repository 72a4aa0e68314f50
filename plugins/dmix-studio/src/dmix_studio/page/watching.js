// What streams in while a picture is made: the canvas, the strip, the regions by themselves, the time that is left.

import { $, el, picture, say } from "./dom.js";

const THUMBNAILS = 12, SIDE = 84;

export class Watching {
  constructor(canvas, models) {
    Object.assign(this, { canvas, models, run: null });
  }

  /** A run was asked for: so many variants, of this scene. */
  begin(run, scene, variants) {
    Object.assign(this, { run, scene, variants, finished: 0, first: null, walked: 0, drawing: null });
    $("run").disabled = true;
    $("cancel").disabled = false;
    $("watching").hidden = false;
    $("boxes").classList.add("previewing");
    this.progress(0, "");
  }

  /** It is over; what still waits to be drawn is shown unless the run was given up. */
  end(text, givenUp = false) {
    this.run = null;
    if (givenUp) this.newest = this.seed = null;
    $("run").disabled = false;
    $("cancel").disabled = true;
    $("boxes").classList.remove("previewing");
    this.progress(0, text);
    say(text);
  }

  progress(share, text) {
    $("progress").value = share;
    $("left").textContent = text;
  }

  queued({ ahead }) { if (this.run && !this.first && ahead) this.progress(0, `${ahead} before you`); }

  planned({ steps, notices, regions, seed }) {
    Object.assign(this, { steps, regions, seed, kept: new Set(), met: false, patches: [] });
    $("notices").replaceChildren(...notices.map((text) => el("li", { textContent: text })));
    $("strip").replaceChildren();
    $("parts").replaceChildren();
    this.images = null;
  }

  step(event) {
    const { done, of } = event, now = performance.now();
    this.first ??= { now, steps: this.walked + done };
    const all = of * this.variants, through = this.finished * of + done;
    const spent = now - this.first.now, counted = through - this.first.steps;
    const left = counted > 0 ? `, ${seconds((spent / counted) * (all - through))} left` : "";
    const phase = { alone: "each model by itself", merging: "merging", climbing: "going over the end again" }[event.phase];
    this.progress(through / all, `Step ${done} of ${of}${this.variants > 1 ? `, picture ${this.finished + 1} of ${this.variants}` : ""}: ${phase}${left}`);
    if (done === 1 || done % Math.ceil(of / 4) === 0) say(`${Math.round((100 * through) / all)} percent, ${phase}`);
    // only the newest pictures are drawn, should the browser be slower than the networks
    if (event.parts) { this.newest = event; this.drawing ??= this.drawAll(); }
  }

  async drawAll() {
    while (this.newest) {
      const event = this.newest;
      this.newest = null;
      try { await this.draw(event); } catch (error) { console.warn(error); } // a picture of a step is not worth more
    }
    this.drawing = null;
  }

  async draw({ parts, patches, done, of, percent, phase, seed }) {
    const drawn = await Promise.all(parts.map((part) => part && layer(part)));
    const merged = await Promise.all(patches.map(async ({ box, image }) => ({ box, image: await picture(image) })));
    if (seed !== this.seed) return; // the next picture has begun
    const pen = this.canvas.picture.getContext("2d"), [height, width] = this.canvas.size;
    pen.imageSmoothingEnabled = true;
    if (this.background) pen.drawImage(this.background, 0, 0, width, height);
    drawn.forEach((part, i) => {
      if (part) pen.drawImage(part.layer, ...(i ? this.scene.boxes[i - 1].box : [0, 0, width, height]));
    });
    for (const { box, image } of merged) pen.drawImage(image, ...box);
    this.showParts(drawn);
    this.addToStrip(done, of, percent, phase);
  }

  /** The background and each object with its mask beside it. */
  showParts(drawn) {
    if (!this.images) {
      this.images = drawn.map((part, i) => {
        if (!part) return null;
        const pair = [part.image, ...(part.mask ? [part.mask] : [])].map(thumbnail);
        $("parts").append(el("li", {}, el("span", { className: "two" }, ...pair), `${i ? `${i} ` : ""}${this.regions[i]}`));
        return pair;
      });
    }
    drawn.forEach((part, i) => part && [part.image, part.mask].forEach((source, j) => source && paint(this.images[i][j], source)));
  }

  addToStrip(done, of, percent, phase) {
    const place = Math.floor((done / of) * THUMBNAILS), meets = phase === "merging" && !this.met;
    if (this.kept.has(place) && !meets && done < of) return;
    this.kept.add(place);
    this.met ||= phase === "merging";
    const item = el("li", { className: meets ? "meets" : "" }, thumbnail(this.canvas.picture), `${percent} %${meets ? " merging begins" : ""}`);
    $("strip").append(item);
    $("strip").scrollLeft = $("strip").scrollWidth;
  }
}

/** A region's picture with its mask as transparency, beside both by themselves. */
async function layer({ image, mask }) {
  const [seen, owned] = await Promise.all([picture(image), mask ? picture(mask) : null]);
  if (!owned) return { layer: seen, image: seen };
  const canvas = el("canvas", { width: seen.width, height: seen.height }), pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(owned, 0, 0);
  const matte = pen.getImageData(0, 0, seen.width, seen.height).data;
  pen.drawImage(seen, 0, 0);
  const pixels = pen.getImageData(0, 0, seen.width, seen.height);
  for (let i = 0; i < matte.length; i += 4) pixels.data[i + 3] = matte[i];
  pen.putImageData(pixels, 0, 0);
  return { layer: canvas, image: seen, mask: owned };
}

function thumbnail(source) {
  const canvas = el("canvas", { attr: { "aria-hidden": "true" } });
  paint(canvas, source);
  return canvas;
}

function paint(canvas, source) {
  const times = Math.min(1, (2 * SIDE) / Math.max(source.width, source.height));
  const width = Math.max(1, Math.round(source.width * times)), height = Math.max(1, Math.round(source.height * times));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  canvas.getContext("2d").drawImage(source, 0, 0, width, height);
}

export function seconds(milliseconds) {
  const whole = Math.max(1, Math.round(milliseconds / 1000));
  return whole < 90 ? `${whole} s` : `${Math.round(whole / 60)} min`;
}
