// What all pages have: signing in and out, and the language. A page calls `start` with a function to run after signing in.

import { ApiError, ask, key } from "./api.js";
import { $, complain } from "./dom.js";
import { t } from "./texts.js";

/**
 * Runs `page(me)` as soon as the reader is signed in.
 *
 * @param {(me: Me) => Promise<void>} page
 */
export async function start(page) {
  const content = $("content");
  let running = false;

  /** @param {Me} me */
  async function enter(me) {
    $("signin").hidden = true;
    content.hidden = false;
    $("account").hidden = false;
    $("who").textContent = me.name;
    $("demo").hidden = !me.demoModel;
    if (running) return location.reload(); // perhaps as somebody else: nothing of the first person may stay
    running = true;
    try {
      await page(me);
    } catch (error) {
      complain($("problem"), error, () => location.reload());
    }
  }

  function signIn(reason = "") {
    key.forget();
    content.hidden = true;
    $("account").hidden = true;
    $("signin").hidden = false;
    $("signin-error").textContent = reason;
    $("key").focus();
  }

  // A page from the browser's cache shows its old content. After signing out nobody may see it.
  window.addEventListener("pageshow", (event) => event.persisted && !key.get() && location.reload());
  document.addEventListener("signed-out", (event) => signIn(t("signin.again", { reason: event.detail.message })));
  $("sign-out").addEventListener("click", () => {
    key.forget();
    location.assign("/console");
  });
  for (const link of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-lang]"))) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const address = new URL(location.href);
      address.searchParams.set("lang", link.dataset.lang ?? "");
      location.replace(address);
    });
  }
  $("signin-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const given = $("key").value.trim();
    const button = /** @type {HTMLButtonElement} */ (event.submitter ?? $("signin-form").querySelector("button"));
    /** @param {string} reason */
    const fail = (reason) => {
      $("signin-error").textContent = reason;
      $("key").setAttribute("aria-invalid", "true");
      $("key").focus();
    };
    if (!given) return fail(t("signin.empty"));
    $("signin-error").textContent = "";
    $("key").removeAttribute("aria-invalid");
    button.disabled = true;
    try {
      const me = await ask("/api/me", { asking: given });
      if (!me.may.search) return fail(t("signin.no_search"));
      key.set(given);
      $("key").value = "";
      await enter(me);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const details = ["unavailable", "upstream", "other"].includes(error.code) ? error.details : "";
      fail(details ? `${error.message} ${t("error.details", { message: details })}` : error.message);
    } finally {
      button.disabled = false;
    }
  });

  if (!key.get()) return signIn();
  try {
    await enter(await ask("/api/me"));
  } catch (error) {
    if (error.code === "unauthorized") return; // the form says so
    content.hidden = false;
    complain($("problem"), error, () => location.reload());
  }
}
