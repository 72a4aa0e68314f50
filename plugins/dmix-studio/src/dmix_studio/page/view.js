// Which part of the canvas is seen, and how large: zoom and pan.

const LEAST = 0.02, MOST = 64;

export class View {
  constructor(stage, onChange) {
    this.stage = stage;
    this.onChange = onChange;
    this.size = [64, 64]; // of the canvas: height, width
    this.scale = 1;
    this.x = this.y = 0; // the canvas point at the stage's corner
    new ResizeObserver(() => this.fit()).observe(stage);
  }

  show(size) {
    if (size[0] === this.size[0] && size[1] === this.size[1]) return;
    this.size = size;
    this.fit();
  }

  fit() {
    const { clientWidth, clientHeight } = this.stage;
    const [height, width] = this.size;
    if (!clientWidth || !clientHeight) return; // it is not laid out
    this.scale = Math.min(clientWidth / width, clientHeight / height) * 0.96;
    this.x = (width - clientWidth / this.scale) / 2;
    this.y = (height - clientHeight / this.scale) / 2;
    this.onChange(this);
  }

  /** Zoom around a point of the screen; without one, around the middle. */
  zoom(times, event) {
    const rect = this.stage.getBoundingClientRect();
    const sx = event ? event.clientX - rect.left : rect.width / 2;
    const sy = event ? event.clientY - rect.top : rect.height / 2;
    const [px, py] = [this.x + sx / this.scale, this.y + sy / this.scale];
    this.scale = Math.min(Math.max(this.scale * times, LEAST), MOST);
    this.x = px - sx / this.scale;
    this.y = py - sy / this.scale;
    this.onChange(this);
  }

  pan(dx, dy) {
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.onChange(this);
  }

  /** The point of the canvas under a pointer. */
  point({ clientX, clientY }) {
    const rect = this.stage.getBoundingClientRect();
    return [this.x + (clientX - rect.left) / this.scale, this.y + (clientY - rect.top) / this.scale];
  }
}
