// Puts the parts together.

import { ask, listen, own } from "./api.js";
import { BoxList, Palette } from "./boxlist.js";
import { Canvas } from "./canvas.js";
import { Choosing } from "./choosing.js";
import { $, complain, el, picture, trying } from "./dom.js";
import { clamped } from "./geometry.js";
import { Home } from "./home.js";
import { Models } from "./models.js";
import { Settings, asked, initial, suited } from "./settings.js";
import { Store } from "./store.js";
import { Watching } from "./watching.js";

const store = new Store();
let models, canvas, watching, choosing, home, shown;

// ---- the background

function listBackgrounds() {
  const photographs = models.photographs.map((each) => el("option", { value: each.id, textContent: `photograph ${each.label}` }));
  $("background").replaceChildren(...models.backgrounds.map((each) => el("option", { value: each.id, textContent: each.label })), ...photographs);
  $("background").value = store.scene.background;
}

function chooseBackground(id) {
  const { size } = models.get(id), wasPhotograph = models.isPhotograph(store.scene.background);
  store.change(({ boxes, settings }) => ({
    background: id,
    boxes: boxes.map((each) => ({ ...each, box: clamped(each.box, size) })),
    settings: wasPhotograph === models.isPhotograph(id) ? settings : suited(settings, !wasPhotograph),
  }));
}

/** Show another background as soon as it is the scene's. */
async function showBackground() {
  const id = store.scene.background;
  if (shown === id) return;
  shown = id;
  $("background").value = id;
  canvas.resize(models.get(id).size);
  watching.background = models.isPhotograph(id) ? await picture(own(`photographs/${id}`)) : null;
  if (shown === id && watching.background) canvas.picture.getContext("2d").drawImage(watching.background, 0, 0);
}

async function takePhotographs(files) {
  for (const file of files) {
    const found = await ask("POST", own(`photographs?name=${encodeURIComponent(file.name)}`), file, "application/octet-stream");
    models.photographs.push(found);
    listBackgrounds();
    chooseBackground(found.id);
  }
}

// ---- composing

async function compose() {
  complain("");
  if (!store.scene.boxes.length) throw new Error("Draw a box first: it is where the object will be.");
  const { scene } = store, variants = Number($("variants").value);
  watching.begin("asked", scene, variants);
  try {
    watching.run = (await ask("POST", own("compose"), { scene: asked(scene), variants })).run;
  } catch (error) {
    watching.end("", true);
    throw error;
  }
}

async function cancel() {
  await ask("POST", own("cancel"));
}

const ON = {
  hello({ variants, photographs }) {
    for (const each of photographs) if (!models.get(each.id)) models.photographs.push(each);
    for (const each of variants) choosing.add(each);
    home.changed(choosing.kept());
    start();
  },
  queue: (event) => watching.queued(event),
  planned: (event) => watching.planned(event),
  step: (event) => watching.step(event),
  sample({ variant }) {
    choosing.add(variant, watching.scene);
    watching.finished += 1;
    if (watching.finished >= watching.variants) watching.end("Done.");
  },
  twin({ id }) {
    const variant = choosing.variants.get(id);
    if (!variant) return;
    variant.twin = true;
    if (choosing.chosen === id) $("twin").disabled = false;
  },
  removed: ({ id }) => choosing.remove(id),
  cancelled: () => watching.end("Cancelled.", true),
  failed({ message }) {
    watching.end("It did not work.", true);
    complain(message);
  },
  set: (event) => home.set(event),
};
const OF_A_RUN = new Set(["planned", "step"]);

function onEvent(event) {
  if (OF_A_RUN.has(event.event) && !watching.run) return; // it was cancelled
  ON[event.event]?.(event);
}

/** Once it is known which photographs the server still has. */
let started = false;
function start() {
  listBackgrounds();
  if (started) return;
  started = true;
  const background = models.backgrounds[0]?.id ?? models.photographs[0]?.id ?? null;
  if (!store.restore((id) => Boolean(models.get(id)), background)) {
    store.scene = { background, boxes: [], settings: initial(models.catalogue.defaults) };
  }
  canvas.resize(models.get(store.scene.background).size);
  store.listen(trying(showBackground));
  store.listen(() => {
    $("undo").disabled = !store.past.length;
    $("redo").disabled = !store.future.length;
  });
  store.tell();
  document.body.dataset.ready = "true";
}

function keys(event) {
  if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || event.target.closest("input[type=text]")) return;
  event.preventDefault();
  if (event.shiftKey) store.redo();
  else store.undo();
}

function dropping() {
  const stage = $("stage");
  for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
  stage.addEventListener("dragover", () => stage.classList.add("over"));
  stage.addEventListener("dragleave", () => stage.classList.remove("over"));
  stage.addEventListener("drop", trying(async (event) => {
    stage.classList.remove("over");
    await takePhotographs(event.dataTransfer.files);
  }));
}

async function main() {
  models = new Models(await ask("GET", "/api/catalogue"));
  canvas = new Canvas(store, models);
  watching = new Watching(canvas, models);
  choosing = new Choosing(store, models, (kept) => home.changed(kept));
  home = new Home(models, choosing);
  new Palette(store, models);
  new BoxList(store, models, canvas);
  new Settings(store, models);
  $("background").onchange = () => chooseBackground($("background").value);
  $("photograph").onchange = trying(() => takePhotographs($("photograph").files));
  $("undo").onclick = () => store.undo();
  $("redo").onclick = () => store.redo();
  $("run").onclick = trying(compose);
  $("cancel").onclick = trying(cancel);
  addEventListener("keydown", keys);
  dropping();
  await listen(onEvent, (connected) => {
    $("status").textContent = connected ? `Ready. Everything stays on this machine; sets go to ${models.catalogue.folder}` : "The server does not answer …";
  });
}

main().catch(complain);
