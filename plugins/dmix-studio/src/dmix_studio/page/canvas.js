// The canvas: boxes are drawn, moved and resized by mouse, touch and keys. While a pointer drags, one box is touched.

import { $, say, svg } from "./dom.js";
import { clamped, placed, resized, scaleHint, snapped, spanned } from "./geometry.js";
import { View } from "./view.js";

const HANDLES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
const CLICK = 5; // pixels of the screen that a click may move
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Canvas {
  constructor(store, models) {
    Object.assign(this, { store, models, size: [64, 64], drawn: new Map(), pointers: new Map(), drag: null, pans: false });
    this.layer = $("boxes");
    this.picture = $("picture");
    this.view = new View($("stage"), () => this.place());
    store.listen(() => this.draw());
    this.layer.addEventListener("pointerdown", (event) => this.down(event));
    this.layer.addEventListener("pointermove", (event) => this.move(event));
    this.layer.addEventListener("pointerup", (event) => this.up(event));
    this.layer.addEventListener("pointercancel", (event) => this.up(event));
    this.layer.addEventListener("keydown", (event) => this.key(event));
    $("stage").addEventListener("wheel", (event) => { event.preventDefault(); this.view.zoom(1.0015 ** -event.deltaY, event); }, { passive: false });
    $("zoom-in").onclick = () => this.view.zoom(1.5);
    $("zoom-out").onclick = () => this.view.zoom(1 / 1.5);
    $("fit").onclick = () => this.view.fit();
    $("drag-draw").onclick = () => this.setPans(false);
    $("drag-pan").onclick = () => this.setPans(true);
    $("add").onclick = () => this.addInTheMiddle();
  }

  setPans(pans) {
    this.pans = pans;
    $("drag-draw").setAttribute("aria-pressed", !pans);
    $("drag-pan").setAttribute("aria-pressed", pans);
    this.layer.classList.toggle("panning", pans);
  }

  /** Another background: the canvas has its size, which boxes may not leave. */
  resize(size) {
    this.size = size;
    [this.picture.height, this.picture.width] = size;
    this.view.show(size);
    this.place();
  }

  grid(model) { return this.models.get(model).size; }

  // ---- drawing

  place() {
    const { x, y, scale } = this.view, stage = $("stage");
    this.layer.setAttribute("viewBox", `${x} ${y} ${stage.clientWidth / scale} ${stage.clientHeight / scale}`);
    this.picture.style.transform = `translate(${-x * scale}px, ${-y * scale}px) scale(${scale})`;
    this.draw();
  }

  draw() {
    const { boxes } = this.store.scene, keys = new Set(boxes.map((each) => each.key));
    for (const [key, group] of this.drawn) if (!keys.has(key)) { group.remove(); this.drawn.delete(key); }
    boxes.forEach((each, place) => {
      if (!this.drawn.has(each.key)) this.drawn.set(each.key, this.made(each));
      const group = this.drawn.get(each.key);
      if (this.layer.children[place] !== group) {
        const focused = document.activeElement === group;
        this.layer.insertBefore(group, this.layer.children[place] ?? null);
        if (focused) group.focus();
      }
      this.update(group, each, place);
    });
    this.hint();
  }

  made({ key, model }) {
    const colour = this.models.colour(model);
    return svg("g", { tabindex: 0, role: "button", "data-key": key },
      svg("rect", { class: "edge" }), svg("rect", { class: "shape", stroke: colour, fill: colour }),
      svg("text"), svg("g", { class: "handles", "aria-hidden": "true" }));
  }

  /** Bring what is seen of a box to its numbers. */
  update(group, { key, model, box }, place) {
    const selected = key === this.store.selected, [x, y, width, height] = box, { scale } = this.view;
    const shown = `${place} ${box} ${selected} ${scale}`;
    if (group.shown === shown) return; // most boxes, at most changes
    group.shown = shown;
    const [edge, shape, text, handles] = group.children;
    for (const rect of [edge, shape]) for (const [name, value] of Object.entries({ x, y, width, height })) rect.setAttribute(name, value);
    group.setAttribute("class", `${selected ? "selected" : ""} ${scaleHint(box, this.grid(model)).startsWith("enlarged") ? "large" : ""}`);
    group.setAttribute("aria-pressed", selected);
    group.setAttribute("aria-label", `${place + 1} ${this.models.label(model)}: x ${x}, y ${y}, width ${width}, height ${height}`);
    text.setAttribute("x", x);
    text.setAttribute("y", y - 4 / scale);
    text.setAttribute("font-size", 12 / scale);
    text.setAttribute("stroke-width", 3 / scale);
    text.textContent = `${place + 1} ${this.models.label(model)}`;
    if (selected) this.drawHandles(handles, box);
    else if (handles.firstChild) handles.replaceChildren();
  }

  drawHandles(handles, [x, y, w, h]) {
    if (!handles.firstChild) {
      for (const name of HANDLES) {
        handles.append(svg("circle", { class: "grip", "data-handle": name }), svg("circle", { class: "handle" }));
      }
    }
    const { scale } = this.view;
    HANDLES.forEach((name, i) => {
      const cx = name.includes("w") ? x : name.includes("e") ? x + w : x + w / 2;
      const cy = name.includes("n") ? y : name.includes("s") ? y + h : y + h / 2;
      const [grip, seen] = [handles.children[2 * i], handles.children[2 * i + 1]];
      for (const each of [grip, seen]) { each.setAttribute("cx", cx); each.setAttribute("cy", cy); }
      grip.setAttribute("r", Math.min(13, Math.max(5, (Math.min(w, h) * scale) / 4)) / scale);
      grip.style.cursor = `${name}-resize`;
      seen.setAttribute("r", 4.5 / scale);
    });
  }

  hint() {
    const box = this.store.box();
    const text = box ? scaleHint(box.box, this.grid(box.model)) : "";
    const shown = text ? `This box: ${text}.` : this.store.scene.boxes.length ? "" : "No box yet: drag on the canvas.";
    if ($("hint").textContent !== shown) $("hint").textContent = shown;
  }

  // ---- pointers

  down(event) {
    if (event.button > 1) return;
    this.layer.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
    if (this.pointers.size > 1) return this.pinch();
    const group = event.target.closest("[data-key]"), key = group && Number(group.dataset.key);
    const start = this.view.point(event);
    if (this.pans || event.button === 1) this.drag = { kind: "pan", last: event };
    else if (event.target.dataset.handle) this.drag = { kind: "resize", key, handle: event.target.dataset.handle, start, box: this.store.box(key).box };
    else if (group) this.drag = { kind: "move", key, start, box: this.store.box(key).box };
    else this.drag = { kind: "draw", start, from: event };
    if (key) { this.store.select(key); group.focus({ preventScroll: true }); }
    event.preventDefault();
  }

  pinch() {
    const [a, b] = [...this.pointers.values()];
    this.forget();
    this.drag = { kind: "pinch", apart: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY), middle: middle(a, b) };
  }

  move(event) {
    if (!this.pointers.has(event.pointerId) || !this.drag) return;
    this.pointers.set(event.pointerId, event);
    if (this.frame) return; // at most one change for each picture that the screen shows
    this.frame = requestAnimationFrame(() => { this.frame = 0; if (this.drag) this.dragged(event); });
  }

  dragged(event) {
    const latest = this.pointers.get(event.pointerId) ?? event, { drag } = this;
    if (drag.kind === "pinch") return this.pinched();
    if (drag.kind === "pan") {
      this.view.pan(latest.clientX - drag.last.clientX, latest.clientY - drag.last.clientY);
      drag.last = latest;
      return;
    }
    const box = this.dragBox(latest);
    if (drag.kind === "draw") this.drawGhost(box);
    else {
      const place = this.store.scene.boxes.findIndex((each) => each.key === drag.key);
      this.update(this.drawn.get(drag.key), { ...this.store.scene.boxes[place], box }, place);
    }
    const model = drag.key ? this.store.box(drag.key).model : this.store.colour;
    $("hint").textContent = `${box[2]}×${box[3]} at ${box[0]}, ${box[1]}. ${scaleHint(box, this.grid(model))}`;
  }

  pinched() {
    const [a, b] = [...this.pointers.values()];
    if (!b) return;
    const apart = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY), now = middle(a, b);
    this.view.zoom(apart / this.drag.apart, now);
    this.view.pan(now.clientX - this.drag.middle.clientX, now.clientY - this.drag.middle.clientY);
    Object.assign(this.drag, { apart, middle: now });
  }

  /** The box that a drag has come to. */
  dragBox(event) {
    const { kind, start, box, handle, key } = this.drag, now = this.view.point(event);
    const [dx, dy] = [now[0] - start[0], now[1] - start[1]];
    if (kind === "move") return clamped([box[0] + dx, box[1] + dy, box[2], box[3]], this.size);
    if (kind === "draw") return snapped(spanned(start, now), this.grid(this.store.colour), this.size, [dx >= 0, dy >= 0]);
    const grid = this.grid(this.store.box(key).model);
    const [, , w, h] = snapped(resized(box, handle, dx, dy), grid, this.size);
    const [x, y, ow, oh] = resized(box, handle, dx, dy);
    return clamped([handle.includes("w") ? x + ow - w : x, handle.includes("n") ? y + oh - h : y, w, h], this.size);
  }

  drawGhost([x, y, width, height]) {
    this.ghost ??= this.layer.appendChild(svg("rect", { class: "shape", fill: "none" }));
    for (const [name, value] of Object.entries({ x, y, width, height, stroke: this.models.colour(this.store.colour) })) this.ghost.setAttribute(name, value);
  }

  up(event) {
    const { drag } = this;
    this.pointers.delete(event.pointerId);
    if (!drag || this.pointers.size) return;
    this.forget();
    if (event.type === "pointercancel") return this.draw();
    if (drag.kind === "draw") this.finishDrawing(drag, event);
    else if (drag.kind === "move" || drag.kind === "resize") {
      this.drag = drag;
      const box = this.dragBox(event);
      this.drag = null;
      if (String(box) !== String(drag.box)) this.store.setBox(drag.key, box);
      else this.draw();
    }
  }

  finishDrawing(drag, event) {
    const clicked = Math.hypot(event.clientX - drag.from.clientX, event.clientY - drag.from.clientY) < CLICK;
    this.drag = drag;
    const box = clicked ? placed(drag.start, this.grid(this.store.colour), this.size) : this.dragBox(event);
    this.drag = null;
    this.focus(this.store.addBox(this.store.colour, box));
  }

  forget() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.drag = null;
    this.ghost?.remove();
    this.ghost = undefined;
  }

  // ---- keys

  key(event) {
    const group = event.target.closest("[data-key]");
    if (!group) return;
    const key = Number(group.dataset.key), { box, model } = this.store.box(key), step = event.shiftKey ? 8 : 1;
    this.store.select(key);
    if (ARROWS[event.key]) {
      const [dx, dy] = ARROWS[event.key].map((each) => each * step), [x, y, w, h] = box;
      this.store.setBox(key, clamped(event.altKey ? [x, y, w + dx, h + dy] : [x + dx, y + dy, w, h], this.size));
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.store.removeBox(key);
      this.focus(this.store.selected);
    } else if (event.key === "PageUp") this.store.raise(key, 1);
    else if (event.key === "PageDown") this.store.raise(key, -1);
    else if (event.key === "Enter" || event.key === " ") this.store.setBox(key, placed([box[0] + box[2] / 2, box[1] + box[3] / 2], this.grid(model), this.size));
    else return;
    event.preventDefault();
    if (this.drawn.has(key)) say(this.drawn.get(key).getAttribute("aria-label"));
  }

  focus(key) { this.drawn.get(key)?.focus({ preventScroll: true }); }

  addInTheMiddle() {
    const [height, width] = this.size, shift = 4 * (this.store.scene.boxes.length % 8);
    this.focus(this.store.addBox(this.store.colour, placed([width / 2 + shift, height / 2 + shift], this.grid(this.store.colour), this.size)));
  }
}

const middle = (a, b) => ({ clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2 });
