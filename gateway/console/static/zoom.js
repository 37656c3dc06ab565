// Zooms into a picture: its sheet grows inside its stage, which then scrolls. What is drawn on the sheet grows with it.

import { $ } from "./dom.js";
import { percent, t } from "./texts.js";

const CLOSEST = 4; // times its size in the page; or twice its own size, if that is larger
const STEP = 1.5;
const SWIPE = 60; // pixels that a finger has to move
const TWICE = 300; // milliseconds between the two taps of a double tap

/**
 * Lets a stage zoom: by buttons, keys, double click or tap, pinching, and the wheel with Ctrl.
 *
 * @param {HTMLElement} stage the visible part; its first child is the sheet
 * @param {(by: 1 | -1) => unknown} swiped called with 1 or -1 when somebody swipes over a picture that is shown whole
 */
export function zooming(stage, swiped) {
  const sheet = /** @type {HTMLElement} */ (stage.firstElementChild);
  let zoom = 1;
  let closest = CLOSEST;

  /**
   * Zooms, and keeps the given point of the window in place. Without a point: its middle.
   *
   * @param {number} wanted
   * @param {number} [x]
   * @param {number} [y]
   */
  function set(wanted, x, y) {
    const box = stage.getBoundingClientRect();
    x ??= box.left + box.width / 2;
    y ??= box.top + box.height / 2;
    const before = sheet.getBoundingClientRect();
    zoom = Math.min(closest, Math.max(1, wanted));
    stage.style.setProperty("--zoom", String(zoom));
    stage.classList.toggle("zoomed", zoom > 1);
    const after = sheet.getBoundingClientRect();
    if (before.width) { // there is a picture
      stage.scrollLeft += after.left + ((x - before.left) / before.width) * after.width - x;
      stage.scrollTop += after.top + ((y - before.top) / before.height) * after.height - y;
    }
    $("zoom-out").setAttribute("aria-disabled", String(zoom === 1));
    $("zoom-in").setAttribute("aria-disabled", String(zoom === closest));
    $("zoom").textContent = zoom === 1 ? "" : t("photo.zoomed", { percent: percent(zoom) });
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  const toggle = (x, y) => set(zoom > 1 ? 1 : Math.min(closest, 2.5), x, y);

  for (const [id, times] of /** @type {const} */ ([["zoom-in", STEP], ["zoom-out", 1 / STEP]])) {
    const button = $(id);
    button.addEventListener("click", () => {
      const { top } = button.getBoundingClientRect();
      set(zoom * times);
      window.scrollBy(0, button.getBoundingClientRect().top - top); // the stage above it grows; the button stays under the finger
    });
  }
  stage.addEventListener("keydown", ({ key, ctrlKey, metaKey, altKey }) => {
    if (ctrlKey || metaKey || altKey) return;
    if (key === "+" || key === "=") set(zoom * STEP);
    else if (key === "-") set(zoom / STEP);
    else if (key === "0") set(1);
  });
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    set(zoom * Math.exp(-event.deltaY / 200), event.clientX, event.clientY);
  }, { passive: false });

  let touched = -Infinity;
  stage.addEventListener("dblclick", (event) => {
    const onText = /** @type {Element} */ (event.target).closest(".layer span"); // there a double click selects a word
    if (!onText && event.timeStamp - touched > 2 * TWICE) toggle(event.clientX, event.clientY);
  });

  /** @type {{spread: number, zoom: number} | null} */
  let pinch = null;
  /** @type {{x: number, y: number, at: number} | null} */
  let start = null;
  let tapped = -Infinity;
  /** @param {TouchList} touches */
  const spread = ([a, b]) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
  stage.addEventListener("touchstart", ({ touches, timeStamp }) => {
    pinch = touches.length === 2 ? { spread: spread(touches), zoom } : null;
    start = touches.length === 1 ? { x: touches[0].clientX, y: touches[0].clientY, at: timeStamp } : null;
  }, { passive: true });
  stage.addEventListener("touchmove", (event) => {
    const { touches } = event;
    if (!pinch || touches.length !== 2) return;
    event.preventDefault();
    const [a, b] = touches;
    set((pinch.zoom * spread(touches)) / pinch.spread, (a.clientX + b.clientX) / 2, (a.clientY + b.clientY) / 2);
  }, { passive: false });
  stage.addEventListener("touchend", (event) => {
    touched = event.timeStamp;
    pinch = null;
    if (!start || event.touches.length) return;
    const [{ clientX, clientY }] = event.changedTouches;
    const [across, down, took] = [clientX - start.x, clientY - start.y, event.timeStamp - start.at];
    start = null;
    if (Math.hypot(across, down) < 10 && took < TWICE) {
      if (event.timeStamp - tapped < TWICE) {
        event.preventDefault();
        toggle(clientX, clientY);
        tapped = -Infinity;
      } else tapped = event.timeStamp;
    } else if (zoom === 1 && Math.abs(across) > SWIPE && Math.abs(across) > 2 * Math.abs(down) && getSelection()?.isCollapsed) {
      swiped(across < 0 ? 1 : -1);
    }
  });
  stage.addEventListener("touchcancel", () => (start = pinch = null));

  return {
    isZoomed: () => zoom > 1,
    /** Shows the whole picture, which is so many pixels wide. */
    reset(width = 0) {
      set(1);
      closest = Math.max(CLOSEST, (2 * width) / (sheet.clientWidth || Infinity));
      stage.scrollTo(0, 0);
    },
  };
}
