// Settings with their plain meaning; those of plugins come from what the plugins declare.

import { $, el } from "./dom.js";

const PRESETS = { // as dmix_core.rule_presets has them, and what else holds in photographs; a test holds it
  fast: { painted: { steps: 50, resamples: 1, jump_length: 3 }, photograph: { steps: 20, resamples: 1, jump_length: 1 } },
  recommended: { painted: { steps: 100, resamples: 1, jump_length: 5 }, photograph: { steps: 30, resamples: 1, jump_length: 2 } },
  paper: { painted: { steps: 250, resamples: 2, jump_length: 10 } },
};
const WALKED = Object.keys(PRESETS.recommended.painted);
const ANCESTRAL = { name: "ancestral", settings: {} }, DDIM = { name: "ddim", settings: { ancestral_from: 1 } };
const MEANING = {
  preset: "Fast shows where things will be, recommended is for data sets, paper for the paper's pictures.",
  seed: "Where the noise begins. The same seed gives the same picture; variants take the seeds after it.",
  steps: "How many denoising steps. More take longer and look cleaner.",
  resamples: "How often the end is gone over again, so that object and scene agree at the seam.",
  jump_length: "How many steps each of these goes back.",
  merge_from: "From which share of the denoising on the models look at each other. Lower: they agree more; higher: each stays as it is.",
  listen_from: "The same for objects alone. In photographs 0.3, so that they take on the light of their place.",
};
const WALK = "tail-resampling";
const KINDS = { "merge rule": "Who owns a pixel", "timestep schedule": "Order of the steps", stepper: "How a step is taken", backend: "What calls the networks" };
const LISTEN_IN_PHOTOGRAPHS = 0.3, THRESHOLD_IN_PHOTOGRAPHS = 0.4; // of the preset recommended

export const initial = (defaults) => ({
  preset: "recommended", seed: 0, ...PRESETS.recommended.painted, merge_from: 0.9, listen_from: 0.9,
  plugins: Object.fromEntries(Object.entries(defaults).map(([kind, name]) => [kind, { name, settings: {} }])), wraps: [], models: {},
});

/** By a preset, in a photograph or before a background that a model paints. */
function following(settings, preset, photograph) {
  const { painted, photograph: within } = PRESETS[preset], early = photograph && within;
  return { ...settings, preset, ...(early || painted), plugins: { ...settings.plugins, stepper: early ? DDIM : ANCESTRAL } };
}

/** What suits a photograph, or a background that a model paints. */
export function suited(given, photograph) {
  const settings = given.preset in PRESETS ? following(given, given.preset, photograph) : given;
  const rule = settings.plugins["merge rule"];
  const threshold = rule.name === "hard-mask" ? { settings: photograph ? { threshold: THRESHOLD_IN_PHOTOGRAPHS } : {} } : {};
  return { ...settings, listen_from: photograph ? LISTEN_IN_PHOTOGRAPHS : settings.merge_from, plugins: { ...settings.plugins, "merge rule": { ...rule, ...threshold } } };
}

/** The scene as the server takes it. */
export function asked({ background, boxes, settings }) {
  const { seed, steps, merge_from, listen_from, resamples, jump_length } = settings;
  const plugins = structuredClone(settings.plugins), walk = plugins["timestep schedule"];
  if (walk.name === WALK) walk.settings = { resamples, jump_length };
  for (const [kind, chosen] of Object.entries(plugins)) if (!Object.keys(chosen.settings).length && chosen.name === DEFAULTS[kind]) delete plugins[kind];
  return { background, objects: boxes.map(({ model, box }) => ({ model, box })), seed, steps, merge_from, listen_from, plugins, wraps: settings.wraps, models: settings.models };
}
let DEFAULTS = {};

export class Settings {
  constructor(store, models) {
    Object.assign(this, { store, models });
    DEFAULTS = models.catalogue.defaults;
    store.listen(() => this.draw());
  }

  draw() {
    const { settings, background } = this.store.scene;
    const shown = JSON.stringify([settings, background, this.store.scene.boxes.map((each) => each.model)]);
    if (this.shown === shown) return;
    this.shown = shown;
    const open = new Set([...$("settings").querySelectorAll("details[open]")].map((each) => each.dataset.name));
    const focused = document.activeElement?.id;
    $("settings").replaceChildren(...this.main(settings), this.more(settings));
    for (const each of $("settings").querySelectorAll("details")) each.open = open.has(each.dataset.name);
    if (focused && $(focused)) $(focused).focus();
  }

  main(settings) {
    const number = (name, label, limits) => this.row(name, label, numberField(settings[name], limits, (value) => this.set(name, value)), MEANING[name]);
    const walks = settings.plugins["timestep schedule"].name === WALK;
    const preset = choice(Object.keys(PRESETS), settings.preset, (name) => this.store.change(() => ({ settings: following(settings, name, this.models.isPhotograph(this.store.scene.background)) })), "own");
    return [
      this.row("preset", "Preset", preset, MEANING.preset),
      number("seed", "Seed", { min: 0, step: 1 }),
      number("steps", "Steps", { min: 1, step: 1 }),
      ...(walks ? [number("resamples", "Resamples", { min: 0, step: 1 }), number("jump_length", "Steps back", { min: 1, step: 1 })] : []),
      number("merge_from", "Merging begins at", { min: 0, max: 1, step: 0.01 }),
      number("listen_from", "Objects listen from", { min: 0, max: 1, step: 0.01 }),
      ...this.plugin("merge rule"),
    ];
  }

  more({ wraps, models }) {
    const kinds = Object.keys(KINDS).filter((kind) => kind !== "merge rule");
    const wrappers = this.models.catalogue.plugins.wrapper.flatMap((each) => this.wrapper(each, wraps));
    const used = new Set([this.store.scene.background, ...this.store.scene.boxes.map((each) => each.model)]);
    const own = [...used].flatMap((id) => (this.models.get(id)?.settings ?? []).map((each) => this.setting(each, models[id]?.[each.name], `${this.models.label(id)}: `, (value) => this.set("models", { ...models, [id]: { ...models[id], [each.name]: value } }))));
    return el("details", { attr: { "data-name": "more" } }, el("summary", { textContent: "More: schedules, steppers, wrappers of every plugin" }), ...kinds.flatMap((kind) => this.plugin(kind)), ...wrappers, ...own);
  }

  /** The choice of a plugin of this kind, and the settings of the one that is chosen. */
  plugin(kind) {
    const offered = this.models.catalogue.plugins[kind], { plugins } = this.store.scene.settings, chosen = plugins[kind];
    const found = offered.find((each) => each.name === chosen.name);
    const put = (changed) => this.set("plugins", { ...plugins, [kind]: { ...chosen, ...changed } });
    const select = choice(offered.map((each) => each.name), chosen.name, (name) => put({ name, settings: {} }));
    const own = chosen.name === WALK ? [] : found?.settings ?? [];
    return [this.row(kind.replace(" ", "-"), KINDS[kind], select, found?.about), ...own.map((each) => this.setting(each, chosen.settings[each.name], "", (value) => put({ settings: { ...chosen.settings, [each.name]: value } })))];
  }

  wrapper({ name, about, settings }, wraps) {
    const at = wraps.findIndex((each) => each.name === name), now = wraps[at];
    const put = (changed) => this.set("wraps", changed ? [...wraps.filter((each) => each.name !== name), { name, around: "objects", settings: {}, ...now, ...changed }] : wraps.filter((each) => each.name !== name));
    const select = choice(["nothing", "objects", "background"], now?.around ?? "nothing", (around) => put(around === "nothing" ? null : { around }));
    const own = now ? settings.map((each) => this.setting(each, now.settings[each.name], "", (value) => put({ settings: { ...now.settings, [each.name]: value } }))) : [];
    return [this.row(`wrap-${name}`, `${name} around`, select, about), ...own];
  }

  setting({ name, schema, default: standard, about }, value, prefix, onChange) {
    return this.row(`setting-${prefix}${name}`, prefix + name.replaceAll("_", " "), fieldOf(schema, value ?? standard, onChange, this.models), about);
  }

  row(name, label, field, meaning) {
    const id = `field-${name.replace(/[^\w-]/g, "-")}`;
    field.id = id;
    const text = meaning ? el("p", { className: "soft", id: `${id}-about`, textContent: meaning }) : "";
    if (meaning) field.setAttribute("aria-describedby", `${id}-about`);
    return el("div", { className: "setting" }, el("label", { htmlFor: id }, label, field), text);
  }

  set(name, value) {
    const own = WALKED.includes(name) ? { preset: "own" } : {};
    this.store.change(({ settings }) => ({ settings: { ...settings, ...own, [name]: value } }));
  }
}

// ---- fields

function choice(names, value, onChange, other) {
  const all = names.includes(value) || other === undefined ? names : [...names, value];
  const select = el("select", {}, ...all.map((each) => el("option", { value: each, textContent: each, selected: each === value })));
  select.onchange = () => onChange(select.value);
  return select;
}

function numberField(value, { min, max, step }, onChange) {
  const input = el("input", { type: "number", value: value ?? "", attr: Object.fromEntries(Object.entries({ min, max, step: step ?? "any" }).filter(([, each]) => each !== undefined)) });
  input.onchange = () => { if (input.value !== "" && input.reportValidity()) onChange(Number(input.value)); };
  return input;
}

/** The field for a JSON schema: a number, a choice, a tick, a model, or text. */
export function fieldOf(schema, value, onChange, models) {
  const kinds = schema.anyOf?.filter((each) => each.type !== "null") ?? [schema], [kind] = kinds;
  if (kind.type === "model") return choice(["", ...models.catalogue.models.map((each) => each.id)], value ?? "", onChange);
  if (kind.enum ?? kind.const) return choice((kind.enum ?? [kind.const]).map(String), String(value), onChange);
  if (kind.type === "boolean") {
    const box = el("input", { type: "checkbox", checked: Boolean(value) });
    box.onchange = () => onChange(box.checked);
    return box;
  }
  if (kind.type === "integer" || kind.type === "number") {
    return numberField(value, { min: kind.minimum ?? kind.exclusiveMinimum, max: kind.maximum ?? kind.exclusiveMaximum, step: kind.type === "integer" ? 1 : undefined }, onChange);
  }
  const input = el("input", { type: "text", value: typeof value === "string" ? value : value == null ? "" : JSON.stringify(value) });
  input.onchange = () => {
    try { onChange(kind.type === "string" ? input.value : JSON.parse(input.value)); } catch { onChange(input.value); }
  };
  return input;
}
