// Fetches the thumbnails of photos that come into view, a few at a time.

import { picture } from "./api.js";

const AT_ONCE = 6;

export class Thumbnails {
  #running = new AbortController();
  /** @type {HTMLImageElement[]} */
  #waiting = [];
  #loading = 0;
  #watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      this.#watcher.unobserve(target);
      this.#waiting.push(/** @type {HTMLImageElement} */ (target));
    }
    this.#load();
  }, { rootMargin: "400px" });

  /**
   * Fetches the picture of the photo `data-asset` as soon as the image comes into view.
   *
   * @param {HTMLImageElement} image in a `.thumb`
   */
  watch(image) {
    this.#watcher.observe(image);
  }

  /** Forgets all images. */
  clear() {
    this.#running.abort();
    this.#running = new AbortController();
    this.#waiting.length = 0;
    this.#watcher.disconnect();
  }

  #load() {
    while (this.#loading < AT_ONCE) {
      const image = this.#waiting.shift();
      if (!image) return;
      this.#loading += 1;
      picture(image.dataset.asset ?? "", "thumbnail", this.#running.signal)
        .then((address) => show(image, address))
        .catch((error) => error.name === "AbortError" || image.closest(".thumb")?.classList.add("blank"))
        .finally(() => {
          this.#loading -= 1;
          this.#load();
        });
    }
  }
}

/**
 * @param {HTMLImageElement} image
 * @param {string} address
 */
async function show(image, address) {
  image.src = address;
  try {
    await image.decode();
    image.closest(".thumb")?.classList.add("loaded");
  } catch {
    image.closest(".thumb")?.classList.add("blank");
  } finally {
    URL.revokeObjectURL(address);
  }
}
