// What is drawn and chosen, with undo. Listeners are called after every change.

const KEY = "dmix-studio-scene";
const MOST_UNDONE = 200;

export class Store {
  constructor() {
    this.scene = { background: null, boxes: [], settings: null };
    this.selected = null; // the key of a box
    this.colour = null; // the id of the model that is drawn with
    this.nextKey = 1;
    this.past = [];
    this.future = [];
    this.listeners = [];
  }

  listen(listener) { this.listeners.push(listener); }
  tell() { for (const listener of this.listeners) listener(this); }

  /** Change the scene by a function that returns the changed parts; it can be undone. */
  change(make) {
    this.past.push(this.scene);
    if (this.past.length > MOST_UNDONE) this.past.shift();
    this.future = [];
    this.scene = { ...this.scene, ...make(this.scene) };
    this.save();
    this.tell();
  }

  select(key) {
    if (this.selected === key) return;
    this.selected = key;
    this.tell();
  }

  undo() { this.swap(this.past, this.future); }
  redo() { this.swap(this.future, this.past); }

  swap(from, to) {
    if (!from.length) return;
    to.push(this.scene);
    this.scene = from.pop();
    this.save();
    this.tell();
  }

  // ---- boxes, from bottom to top

  box(key = this.selected) { return this.scene.boxes.find((each) => each.key === key); }

  addBox(model, box) {
    const key = this.nextKey++;
    this.selected = key;
    this.change(({ boxes }) => ({ boxes: [...boxes, { key, model, box }] }));
    return key;
  }

  setBox(key, box) {
    this.change(({ boxes }) => ({ boxes: boxes.map((each) => (each.key === key ? { ...each, box } : each)) }));
  }

  removeBox(key) {
    const place = this.scene.boxes.findIndex((each) => each.key === key);
    this.change(({ boxes }) => ({ boxes: boxes.filter((each) => each.key !== key) }));
    const { boxes } = this.scene;
    this.select(boxes.length ? boxes[Math.min(place, boxes.length - 1)].key : null);
  }

  /** Move a box up or down among the others. */
  raise(key, by) {
    const boxes = [...this.scene.boxes];
    const from = boxes.findIndex((each) => each.key === key), to = from + by;
    if (to < 0 || to >= boxes.length) return;
    [boxes[from], boxes[to]] = [boxes[to], boxes[from]];
    this.change(() => ({ boxes }));
  }

  set(name, value) { this.change(({ settings }) => ({ settings: { ...settings, [name]: value } })); }

  // ---- this tab remembers the scene when it is loaded again

  save() { sessionStorage.setItem(KEY, JSON.stringify({ scene: this.scene, nextKey: this.nextKey })); }

  /** What was drawn before; a photograph that the server has no more gives way to another background. */
  restore(isKnown, otherwise) {
    const kept = JSON.parse(sessionStorage.getItem(KEY) || "null");
    if (!kept) return false;
    if (!isKnown(kept.scene.background)) kept.scene.background = otherwise;
    kept.scene.boxes = kept.scene.boxes.filter((each) => isKnown(each.model));
    Object.assign(this, kept);
    return true;
  }
}
