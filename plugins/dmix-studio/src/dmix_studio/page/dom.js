// Small helpers for elements.

export const $ = (id) => document.getElementById(id);

/** An element with properties, attributes by `attr`, and children. */
export function el(name, { attr = {}, ...properties } = {}, ...children) {
  const made = document.createElement(name);
  Object.assign(made, properties);
  for (const [key, value] of Object.entries(attr)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export const say = (text) => { $("said").textContent = text; };

/** Show what went wrong; nothing takes it away again. */
export function complain(error) {
  $("problem").textContent = error?.message ?? error ?? "";
  $("problem").hidden = !error;
}

/** A handler whose failure is shown. */
export const trying = (handler) => async (event) => {
  try { await handler(event); } catch (error) { complain(error); }
};

export function picture(source) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("A picture cannot be shown."));
    image.src = source;
  });
}

/** The focus stays on the same control while a list is made anew: controls are known by `data-focus`. */
export function refill(parent, children) {
  const focused = parent.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
  parent.replaceChildren(...children);
  if (focused) parent.querySelector(`[data-focus="${focused}"]`)?.focus();
}
