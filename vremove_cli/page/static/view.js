// The frame on its canvas: zoom and pan, masks in colours, clicks, the box and the brush that are being drawn.

const MASK_OPACITY = 0.55, CHECKED = 4; // the difference is shown four times as bright

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.size = { width: 1, height: 1, aspect: 1 };
    this.zoom = 1;
    this.pan = { x: 0, y: 0 };
    this.before = this.after = null;
    this.mode = "before";
    this.split = 0.5;
    this.layers = []; // tinted masks
    this.clicks = [];
    this.preview = null; // the mask that a click would give
    this.box = this.brush = this.cross = this.painted = null;
    new ResizeObserver(() => this.draw()).observe(canvas);
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2, event);
    }, { passive: false });
  }

  // Pixels of the canvas in a pixel of the clip, and where the frame's corner is.
  get place() {
    const { width, height } = this.canvas.getBoundingClientRect();
    const shown = this.size.width * this.size.aspect;
    const scale = Math.min(width / shown, height / this.size.height) * this.zoom;
    const x = (width - shown * scale) / 2 + this.pan.x, y = (height - this.size.height * scale) / 2 + this.pan.y;
    return { sx: scale * this.size.aspect, sy: scale, x, y, width, height };
  }

  // The pixel of the clip under a pointer.
  at(event) {
    const box = this.canvas.getBoundingClientRect(), p = this.place;
    return [(event.clientX - box.left - p.x) / p.sx, (event.clientY - box.top - p.y) / p.sy];
  }

  inside([x, y]) { return x >= 0 && y >= 0 && x < this.size.width && y < this.size.height; }

  zoomBy(factor, event) {
    const box = this.canvas.getBoundingClientRect();
    const [cx, cy] = event ? [event.clientX - box.left, event.clientY - box.top] : [box.width / 2, box.height / 2];
    const old = this.place, zoom = Math.min(40, Math.max(1, this.zoom * factor));
    const kx = (cx - old.x) / old.sx, ky = (cy - old.y) / old.sy;
    this.zoom = zoom;
    if (zoom === 1) this.pan = { x: 0, y: 0 };
    else {
      const now = this.place;
      this.pan.x += cx - (now.x + kx * now.sx);
      this.pan.y += cy - (now.y + ky * now.sy);
    }
    this.draw();
  }

  whole() { this.zoom = 1; this.pan = { x: 0, y: 0 }; this.draw(); }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.paint(); });
  }

  paint() {
    const ratio = window.devicePixelRatio || 1, p = this.place;
    if (!p.width) return;
    const width = Math.round(p.width * ratio), height = Math.round(p.height * ratio);
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const g = this.canvas.getContext("2d");
    g.setTransform(1, 0, 0, 1, 0, 0);
    g.clearRect(0, 0, width, height);
    g.setTransform(ratio * p.sx, 0, 0, ratio * p.sy, ratio * p.x, ratio * p.y);
    g.imageSmoothingEnabled = p.sy < 4;
    g.imageSmoothingQuality = "high";
    this.paintPictures(g);
    if (this.mode === "before" || this.painted) for (const layer of this.layers) this.paintLayer(g, layer);
    if (this.preview) this.paintLayer(g, this.preview);
    if (this.painted) this.paintLayer(g, this.painted);
    this.paintMarks(g, p);
  }

  paintPictures(g) {
    const { width, height } = this.size, after = this.after;
    const show = (picture) => picture && g.drawImage(picture, 0, 0, width, height);
    if (!after || this.mode === "before") return show(this.before);
    if (this.mode === "after") return show(after);
    if (this.mode === "split") {
      show(this.before);
      g.save();
      g.beginPath();
      g.rect(width * this.split, 0, width, height);
      g.clip();
      show(after);
      g.restore();
      g.fillStyle = "#fff";
      g.fillRect(width * this.split - 1 / this.place.sx, 0, 2 / this.place.sx, height);
      return undefined;
    }
    show(this.before);
    g.globalCompositeOperation = "difference";
    show(after);
    g.globalCompositeOperation = "lighter";
    for (let k = 1; k < CHECKED; k *= 2) g.drawImage(this.canvas, 0, 0, this.canvas.width, this.canvas.height, ...this.visible());
    g.globalCompositeOperation = "source-over";
    return undefined;
  }

  // The whole canvas in pixels of the clip.
  visible() {
    const p = this.place;
    return [-p.x / p.sx, -p.y / p.sy, p.width / p.sx, p.height / p.sy];
  }

  paintLayer(g, layer) {
    g.globalAlpha = MASK_OPACITY;
    g.drawImage(layer, 0, 0, this.size.width, this.size.height);
    g.globalAlpha = 1;
  }

  paintMarks(g, p) {
    const line = 1.5 / p.sy;
    g.lineWidth = line;
    for (const { kind, at, colour } of this.mode === "before" ? this.clicks : []) {
      g.strokeStyle = "#000";
      g.fillStyle = colour;
      if (kind === "box") {
        g.strokeStyle = colour;
        g.strokeRect(at[0], at[1], at[2] - at[0], at[3] - at[1]);
        continue;
      }
      const r = 5 / p.sy;
      g.beginPath();
      g.ellipse(at[0], at[1], 5 / p.sx, r, 0, 0, 7);
      g.fill();
      g.stroke();
      g.strokeStyle = "#000";
      g.beginPath();
      g.moveTo(at[0] - 3 / p.sx, at[1]);
      g.lineTo(at[0] + 3 / p.sx, at[1]);
      if (kind === "point") { g.moveTo(at[0], at[1] - 3 / p.sy); g.lineTo(at[0], at[1] + 3 / p.sy); }
      g.stroke();
    }
    g.strokeStyle = "#fff";
    if (this.box) g.strokeRect(this.box[0], this.box[1], this.box[2] - this.box[0], this.box[3] - this.box[1]);
    if (this.brush) {
      g.beginPath();
      g.ellipse(this.brush.x, this.brush.y, this.brush.radius, this.brush.radius, 0, 0, 7);
      g.stroke();
    }
    if (this.cross) {
      const [x, y] = this.cross;
      g.beginPath();
      g.moveTo(x - 12 / p.sx, y); g.lineTo(x + 12 / p.sx, y);
      g.moveTo(x, y - 12 / p.sy); g.lineTo(x, y + 12 / p.sy);
      g.stroke();
    }
  }
}

// A mask in one colour, its soft edge as opacity.
export function tinted(bitmap, colour) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height), g = canvas.getContext("2d");
  g.drawImage(bitmap, 0, 0);
  const data = g.getImageData(0, 0, bitmap.width, bitmap.height), [r, b, l] = rgb(colour);
  for (let i = 0; i < data.data.length; i += 4) {
    data.data[i + 3] = data.data[i];
    data.data[i] = r; data.data[i + 1] = b; data.data[i + 2] = l;
  }
  g.putImageData(data, 0, 0);
  return canvas;
}

function rgb(colour) {
  return [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
}
