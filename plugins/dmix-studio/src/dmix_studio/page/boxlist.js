// The palette, and the list of boxes with a field for each number: the way without dragging.

import { $, el, refill } from "./dom.js";
import { clamped, scaleHint } from "./geometry.js";

export class Palette {
  constructor(store, models) {
    Object.assign(this, { store, models });
    store.colour = models.objects[0]?.id ?? null;
    $("palette").replaceChildren(...models.objects.map((each) => this.row(each)));
    if (!models.objects.length) $("palette").textContent = "No model of objects is installed; `dmix train object` makes one.";
  }

  row({ id, label, size: [height, width] }) {
    const radio = el("input", { type: "radio", name: "palette", value: id, checked: id === this.store.colour });
    radio.onchange = () => { this.store.colour = id; };
    const chip = el("span", { className: "chip" });
    chip.style.background = this.models.colour(id);
    return el("label", {}, radio, chip, `${label} `, el("span", { className: "soft", textContent: `${width}×${height}` }));
  }
}

export class BoxList {
  constructor(store, models, canvas) {
    Object.assign(this, { store, models, canvas });
    store.listen(() => this.draw());
    $("list").addEventListener("focusin", (event) => {
      const row = event.target.closest("li");
      if (row) this.store.select(Number(row.dataset.key));
    });
  }

  draw() {
    const { boxes } = this.store.scene;
    refill($("list"), [...boxes].reverse().map((each, i) => this.row(each, boxes.length - i)));
  }

  row({ key, model, box }, number) {
    const chip = el("span", { className: "chip" });
    chip.style.background = this.models.colour(model);
    const button = (text, name, act) => el("button", { textContent: text, title: name, onclick: act, attr: { "aria-label": `${name}: box ${number}`, "data-focus": `${key}-${name}` } });
    const head = el("div", { className: "name" }, chip, el("b", { textContent: `${number} ${this.models.label(model)}` }),
      button("↑", "Raise", () => this.store.raise(key, 1)), button("↓", "Lower", () => this.store.raise(key, -1)),
      button("×", "Delete", () => this.store.removeBox(key)));
    const fields = el("div", { className: "numbers" }, ...["x", "y", "width", "height"].map((name, i) => this.field(key, box, name, i, number)));
    const hint = scaleHint(box, this.models.get(model).size);
    const row = el("li", { attr: { "data-key": key } }, head, fields, hint ? el("p", { className: "soft", textContent: hint }) : "");
    row.classList.toggle("selected", key === this.store.selected);
    return row;
  }

  field(key, box, name, i, number) {
    const input = el("input", { type: "number", value: box[i], min: i < 2 ? 0 : 1, attr: { "aria-label": `${name} of box ${number}`, "data-focus": `${key}-${name}` } });
    input.onchange = () => {
      const changed = [...box];
      changed[i] = Number(input.value) || 0;
      this.store.setBox(key, clamped(changed, this.canvas.size));
    };
    return el("label", {}, name, input);
  }
}
