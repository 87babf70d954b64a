// Keeps the last pictures, and fetches the next ones while the clip plays. Old ones are closed, so memory stays flat.

import { picture } from "./api.js";

const KEPT = 48;

export class Frames {
  constructor(kind) {
    this.kind = kind; // "frame" or "result"
    this.kept = new Map();
    this.coming = new Map();
  }

  async at(index, width) {
    const key = `${index}/${width}`;
    if (this.kept.has(key)) {
      const found = this.kept.get(key);
      this.kept.delete(key);
      this.kept.set(key, found);
      return found;
    }
    if (!this.coming.has(key)) {
      const path = `${this.kind}/${index}${width ? `?width=${width}` : ""}`;
      this.coming.set(key, picture(path).then((bitmap) => this.keep(key, bitmap)).finally(() => this.coming.delete(key)));
    }
    return this.coming.get(key);
  }

  keep(key, bitmap) {
    this.kept.set(key, bitmap);
    for (const old of this.kept.keys()) {
      if (this.kept.size <= KEPT) break;
      this.kept.get(old).close();
      this.kept.delete(old);
    }
    return bitmap;
  }

  clear() {
    for (const bitmap of this.kept.values()) bitmap.close();
    this.kept.clear();
  }
}
