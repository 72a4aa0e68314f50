// Boxes are [x, y, width, height] in whole pixels of a canvas of [height, width].

export const NEAR = 0.2; // a side that differs from the model's by less than this share snaps to it

const between = (value, least, most) => Math.min(Math.max(value, least), most);

/** The box with whole sides of 1 or more, inside the canvas; its size goes before its place. */
export function clamped([x, y, w, h], [height, width]) {
  w = between(Math.round(w), 1, width);
  h = between(Math.round(h), 1, height);
  return [between(Math.round(x), 0, width - w), between(Math.round(y), 0, height - h), w, h];
}

/** The box between two points. */
export function spanned([ax, ay], [bx, by]) {
  return [Math.min(ax, bx), Math.min(ay, by), Math.abs(bx - ax), Math.abs(by - ay)];
}

/** A side near the model's own becomes that. */
export const snappedSide = (side, own) => (Math.abs(side - own) <= NEAR * own ? own : side);

/** The box with sides near the grid's made equal to these; `fixed` says which corner stays: [left, top]. */
export function snapped([x, y, w, h], grid, canvas, [left, top] = [true, true]) {
  const sw = snappedSide(w, grid[1]), sh = snappedSide(h, grid[0]);
  return clamped([left ? x : x + w - sw, top ? y : y + h - sh, sw, sh], canvas);
}

/** The box of the model's own size around a point. */
export function placed([px, py], grid, canvas) {
  return clamped([px - grid[1] / 2, py - grid[0] / 2, grid[1], grid[0]], canvas);
}

/** The box when one of its handles, named by "n", "s", "w", "e", is moved by (dx, dy). */
export function resized([x, y, w, h], handle, dx, dy) {
  let right = x + w, bottom = y + h;
  if (handle.includes("w")) x = Math.min(x + dx, right - 1);
  if (handle.includes("e")) right = Math.max(right + dx, x + 1);
  if (handle.includes("n")) y = Math.min(y + dy, bottom - 1);
  if (handle.includes("s")) bottom = Math.max(bottom + dy, y + 1);
  return [x, y, right - x, bottom - y];
}

/** What becomes of a model's picture in a box of this size, in words; "" at its own scale. */
export function scaleHint([, , w, h], grid) {
  const times = Math.max(w / grid[1], h / grid[0]);
  const own = `its own size is ${grid[1]}×${grid[0]}`;
  if (times > 1) return `enlarged ${times.toFixed(2)} times, so smoother than its surroundings; ${own}`;
  if (Math.min(w / grid[1], h / grid[0]) < 1) return `made smaller; ${own}`;
  return "";
}
