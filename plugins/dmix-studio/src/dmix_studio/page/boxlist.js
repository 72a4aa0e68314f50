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
    Object.assign(this, { store, models, canvas, rows: new Map() });
    store.listen(() => this.draw());
    $("list").addEventListener("focusin", (event) => {
      const row = event.target.closest("li");
      if (row) this.store.select(Number(row.dataset.key));
    });
  }

  /** Rows are made anew when boxes come, go or change places only: 30 of them would take longer than a picture is shown. */
  draw() {
    const { boxes } = this.store.scene, order = boxes.map((each) => each.key).join();
    if (order !== this.order) {
      this.order = order;
      this.rows = new Map(boxes.map((each, i) => [each.key, this.row(each, i + 1)]));
      refill($("list"), [...this.rows.values()].reverse());
    }
    for (const each of boxes) this.update(this.rows.get(each.key), each);
  }

  row({ key, model }, number) {
    const chip = el("span", { className: "chip" });
    chip.style.background = this.models.colour(model);
    const button = (text, name, act) => el("button", { textContent: text, title: name, onclick: act, attr: { "aria-label": `${name}: box ${number}`, "data-focus": `${key}-${name}` } });
    const head = el("div", { className: "name" }, chip, el("b", { textContent: `${number} ${this.models.label(model)}` }),
      button("↑", "Raise", () => this.store.raise(key, 1)), button("↓", "Lower", () => this.store.raise(key, -1)),
      button("×", "Delete", () => this.store.removeBox(key)));
    const fields = el("div", { className: "numbers" }, ...["x", "y", "width", "height"].map((name, i) => this.field(key, name, i, number)));
    return el("li", { attr: { "data-key": key } }, head, fields, el("p", { className: "soft" }));
  }

  /** Bring what is seen of a row to its box. */
  update(row, { key, model, box }) {
    row.querySelectorAll("input").forEach((input, i) => { if (input.value !== String(box[i])) input.value = box[i]; });
    const hint = row.lastChild, text = scaleHint(box, this.models.get(model).size);
    if (hint.textContent !== text) hint.textContent = text;
    hint.hidden = !text;
    row.classList.toggle("selected", key === this.store.selected);
  }

  field(key, name, i, number) {
    const input = el("input", { type: "number", min: i < 2 ? 0 : 1, attr: { "aria-label": `${name} of box ${number}`, "data-focus": `${key}-${name}` } });
    input.onchange = () => {
      const changed = [...this.store.box(key).box];
      changed[i] = Number(input.value) || 0;
      this.store.setBox(key, clamped(changed, this.canvas.size));
    };
    return el("label", {}, name, input);
  }
}
