// Taking home: the zip of what was kept, sets like a picture, and what lies on this machine.

import { ask, own } from "./api.js";
import { $, complain, el, trying } from "./dom.js";

const FIRST = ["coco", "yolo-seg", "mvtec"];

export class Home {
  constructor(models, choosing) {
    Object.assign(this, { choosing, kept: [] });
    const names = models.catalogue.plugins.format.map((each) => each.name).sort((a, b) => rank(a) - rank(b));
    $("formats").append(...names.map((name) => el("label", {}, el("input", { type: "checkbox", value: name, checked: FIRST.includes(name), onchange: () => this.draw() }), ` ${name}`)));
    $("more").onsubmit = trying(async (event) => { event.preventDefault(); await this.beginSet(); });
    $("download").onclick = trying(() => this.download());
    $("set-stop").onclick = trying(() => ask("POST", own("sets/stop")));
    this.draw();
    this.list();
  }

  changed(kept) {
    this.kept = kept;
    this.draw();
  }

  draw() {
    const count = this.kept.length, formats = [...$("formats").querySelectorAll(":checked")].map((each) => each.value);
    $("kept").textContent = count ? `${count} kept. The download has ${count > 1 ? "their" : "its"} image, masks, labels, recipe and command.` : "Nothing is kept yet: keep a picture above.";
    $("download").disabled = !count;
    this.formats = formats.join();
  }

  /** The zip, or in words why there is none, which a plain link could not show. */
  async download() {
    $("download").disabled = true;
    try {
      const answer = await fetch(own(`home.zip?formats=${this.formats}`));
      if (!answer.ok) throw new Error((await answer.json()).message);
      const url = URL.createObjectURL(await answer.blob());
      el("a", { href: url, download: "dmix-studio.zip" }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
      complain("");
    } finally {
      this.draw();
    }
  }

  async beginSet() {
    if (!this.choosing.chosen) throw new Error("Compose a picture first: the set is made like the chosen one.");
    const order = { variant: this.choosing.chosen, n: Number($("set-n").value), name: $("set-name").value, val: Number($("set-val").value), twins: $("set-twins").checked };
    await ask("POST", own("sets"), order);
  }

  /** An event of a set that is being made. */
  set({ name, state, done, of, message }) {
    const goes = state === "begun" || state === "going";
    $("set-begin").disabled = goes;
    $("set-stop").disabled = !goes;
    $("set-progress").hidden = !goes;
    if (state === "begun") this.since = { time: performance.now(), done: null };
    if (state === "going") {
      this.since ??= { time: performance.now() };
      this.since.done ??= done;
      const each = (performance.now() - this.since.time) / (done - this.since.done + 1);
      $("set-progress").value = done / of;
      $("set-said").textContent = `${name}: ${done} of ${of}, about ${Math.max(1, Math.round((each * (of - done)) / 60000))} min left`;
    } else {
      $("set-said").textContent = { begun: `${name}: beginning …`, stopped: `${name} was stopped; it can be gone on with below.`, failed: `${name}: ${message}`, finished: `${name} is finished. Its report is below.` }[state];
      if (!goes) this.list();
    }
  }

  async list() {
    const found = await ask("GET", "/api/library");
    $("library").replaceChildren(...found.map((each) => {
      const open = each.planned > each.samples && each.goes_on;
      const link = el("a", { href: `/api/library/${each.id}`, target: "_blank", textContent: each.name });
      const more = each.kind === "set" ? `, ${each.samples}${each.planned > each.samples ? ` of ${each.planned}` : ""} samples` : "";
      const button = open ? el("button", { textContent: "Go on", onclick: trying(() => ask("POST", own(`sets/${each.name}/go-on`))) }) : "";
      return el("li", {}, `${each.kind} `, link, more, " ", button, el("div", { className: "soft", textContent: each.folder }));
    }));
    if (!found.length) $("library").replaceChildren(el("li", { className: "soft", textContent: "No sets and no trainings in the folders that were given." }));
  }
}

const rank = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
