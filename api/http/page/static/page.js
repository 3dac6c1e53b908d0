// Starts the page as soon as Gradio has drawn its frame.

import { ask, Refused, wordsOf } from "./api.js";
import { fillWords, find, showError, wait } from "./dom.js";
import { TABS } from "./tabs.js";
import { currentLanguage, say, switchLanguage } from "./words.js";

const KEY_AFTER = 400; // milliseconds without another keystroke
const NAMES = [...TABS.keys()];

const tabButton = (name) => find(`tab-${name}-button`);

/** Gradio draws a tab when it is selected for the first time, and keeps it: select each in turn, then the first. */
function whenDrawn(start) {
  let asked = null;
  const look = () => {
    if (!NAMES.every(tabButton) || !find("key") || !find("document")) return;
    const missing = NAMES.find((name) => !find(name));
    if (missing) {
      if (missing !== asked) tabButton((asked = missing)).click();
      return;
    }
    observer.disconnect();
    tabButton(NAMES[0]).click();
    start();
  };
  const observer = new MutationObserver(look);
  observer.observe(document.documentElement, { childList: true, subtree: true });
  look();
}

/** Gradio writes the browser's own language there, whenever it is ready. */
function keepLanguage() {
  const root = document.documentElement;
  if (root.lang !== currentLanguage()) root.lang = currentLanguage();
}

function applyLanguage(tabs) {
  keepLanguage();
  fillWords(document);
  NAMES.forEach(nameTab);
  for (const tab of tabs) tab.refresh();
}

/** Gradio draws each tab's button twice; page.css gives the hidden one no width, so that no tab moves into a menu. */
function nameTab(name) {
  tabButton(name).textContent = say(`tab.${name}`);
}

/** What the key may list. Without a key this works on loopback only, so a refusal is shown once a key was typed. */
async function loadLists(tabs, { quietly }) {
  find("key-error").textContent = "";
  find("key").removeAttribute("aria-invalid");
  const asked = ["v1/instructions", "v1/collections"].map((path) => ask("GET", path));
  const [library, found] = await Promise.allSettled(asked);
  const refused = [library, found].map(({ reason }) => reason).find((reason) => reason && reason.status !== 403);
  if (refused) tellKey(refused, { quietly });
  for (const tab of tabs) tab.learn({ library: library.value ?? null, collections: found.value?.collections ?? null });
}

/** A key that may only search is refused the lists with 403: that is no error, the lists stay empty. */
function tellKey(error, { quietly }) {
  if (error instanceof Refused && error.status === 401 && !quietly) showError("rerank", "key", error.message);
  find("key-error").textContent = wordsOf(error);
}

async function copy(button) {
  await navigator.clipboard.writeText(find(button.dataset.copies).textContent);
  button.textContent = say("copied");
  setTimeout(() => (button.textContent = say("copy")), 1500);
}

whenDrawn(() => {
  const tabs = [...TABS.values()].map((Tab) => new Tab());
  applyLanguage(tabs);
  new MutationObserver(keepLanguage).observe(document.documentElement, { attributeFilter: ["lang"] });
  find("docs").href = new URL("docs", window.location.href).href;
  find("language").addEventListener("click", () => {
    switchLanguage();
    applyLanguage(tabs);
  });
  find("theme").addEventListener("click", () => document.body.classList.toggle("dark"));
  find("key").addEventListener("input", wait(KEY_AFTER, () => loadLists(tabs, { quietly: false })));
  document.addEventListener("winnow-library", () => loadLists(tabs, { quietly: true }));
  for (const button of document.querySelectorAll("[data-copies]")) button.addEventListener("click", () => copy(button));
  loadLists(tabs, { quietly: true }).finally(() => (document.documentElement.dataset.ready = "true"));
});
