// A brush for masks: by pointer, or by arrow keys and the space bar.

import { $, el } from "./dom.js";

const COLOURS = ["230,159,0", "86,180,233", "0,158,115", "240,228,66", "0,114,178", "213,94,0", "204,121,167"];

export class Brush {
  constructor() {
    this.active = false;
    const canvas = $("large");
    canvas.addEventListener("pointerdown", (event) => { if (this.active) { canvas.setPointerCapture(event.pointerId); this.painting = true; this.to(event); } });
    canvas.addEventListener("pointermove", (event) => { if (this.active && this.painting) this.to(event); });
    canvas.addEventListener("pointerup", () => { this.painting = false; });
    canvas.addEventListener("pointercancel", () => { this.painting = false; });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  begin(image, { values, width, height }, times) {
    Object.assign(this, { active: true, image, values: values.slice(), width, height, times, at: [width >> 1, height >> 1] });
    $("large").classList.add("painting");
    $("large").focus();
    this.draw();
  }

  end() {
    this.active = this.painting = false;
    $("large").classList.remove("painting");
  }

  to({ offsetX, offsetY }) {
    const canvas = $("large");
    this.at = [Math.floor((offsetX / canvas.clientWidth) * this.width), Math.floor((offsetY / canvas.clientHeight) * this.height)];
    this.paint();
  }

  key(event) {
    if (!this.active) return;
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (move) this.at = [clip(this.at[0] + move[0], this.width), clip(this.at[1] + move[1], this.height)];
    else if (event.key !== " ") return;
    event.preventDefault();
    if (event.key === " " || event.shiftKey) this.paint();
    this.draw();
  }

  /** Give the pixels under the brush to the object, or take them from it. */
  paint() {
    const size = Math.max(1, Number($("brush-size").value)), reach = size / 2, object = Number($("brush-object").value), erases = $("brush-erase").checked;
    const [cx, cy] = this.at, odd = size % 2 ? 0 : 0.5;
    for (let y = Math.floor(cy - reach); y <= cy + reach; y++) {
      for (let x = Math.floor(cx - reach); x <= cx + reach; x++) {
        if (x < 0 || y < 0 || x >= this.width || y >= this.height || Math.hypot(x - cx + odd, y - cy + odd) > reach) continue;
        const place = y * this.width + x;
        if (!erases) this.values[place] = object;
        else if (this.values[place] === object) this.values[place] = 0;
      }
    }
    this.draw();
  }

  draw() {
    const canvas = $("large"), { times } = this;
    canvas.width = this.width * times;
    canvas.height = this.height * times;
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = false;
    pen.drawImage(this.image, 0, 0, canvas.width, canvas.height);
    for (let place = 0; place < this.values.length; place++) {
      const value = this.values[place];
      if (!value) continue;
      pen.fillStyle = `rgba(${COLOURS[(value - 1) % COLOURS.length]},.5)`;
      pen.fillRect((place % this.width) * times, Math.floor(place / this.width) * times, times, times);
    }
    pen.strokeStyle = "#fff";
    pen.strokeRect(this.at[0] * times, this.at[1] * times, times, times);
  }

  /** The mask as a PNG whose red is the value of each pixel. */
  png() {
    const canvas = el("canvas", { width: this.width, height: this.height }), pen = canvas.getContext("2d");
    const pixels = pen.createImageData(this.width, this.height);
    this.values.forEach((value, i) => { pixels.data[4 * i] = value; pixels.data[4 * i + 3] = 255; });
    pen.putImageData(pixels, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }
}

const clip = (value, size) => Math.min(Math.max(value, 0), size - 1);
