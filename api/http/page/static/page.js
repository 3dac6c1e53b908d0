// Starts the page as soon as Gradio has drawn its frame.

import { ask, Refused } from "./api.js";
import { fillWords, find, showError, wait } from "./dom.js";
import { RerankTab } from "./rerank.js";
import { SearchTab } from "./search.js";
import { currentLanguage, say, switchLanguage } from "./words.js";

const PARTS = ["key", "rerank-form", "search-form", "document", "tab-rerank-button", "tab-search-button"];
const KEY_AFTER = 400; // milliseconds without another keystroke
const TABS = ["Rerank", "Search"];

/** Gradio draws a tab when it is selected for the first time, and keeps it. */
function whenDrawn(start) {
  let opened = false;
  const look = () => {
    const [first, second] = TABS.map((name) => find(`tab-${name.toLowerCase()}-button`));
    if (find("rerank-form") && second && !opened) {
      opened = true;
      second.click();
    }
    if (!PARTS.every(find)) return;
    observer.disconnect();
    first.click();
    start();
  };
  const observer = new MutationObserver(look);
  observer.observe(document.documentElement, { childList: true, subtree: true });
  look();
}

function applyLanguage(tabs) {
  document.documentElement.lang = currentLanguage();
  fillWords(document);
  for (const name of TABS) nameTab(name);
  for (const tab of tabs) tab.refresh();
}

/** Gradio draws each tab's button twice; the hidden one measures the width. */
function nameTab(name) {
  const shown = find(`tab-${name.toLowerCase()}-button`);
  const place = [...shown.parentElement.querySelectorAll("button")].indexOf(shown);
  const measured = shown.closest(".tabs").querySelector(".tab-container[aria-hidden]");
  for (const button of [shown, measured?.querySelectorAll("button")[place]]) {
    if (button) button.textContent = say(`tab${name}`);
  }
}

/** What the key may see. Without a key this works on loopback only, so a refusal is shown once a key was typed. */
async function loadLists(rerank, search, { quietly }) {
  find("key-error").textContent = "";
  find("key").removeAttribute("aria-invalid");
  try {
    const [library, { collections }] = await Promise.all([ask("GET", "v1/instructions"), ask("GET", "v1/collections")]);
    rerank.instruction.setLibrary(library);
    search.instruction.setLibrary(library);
    search.setCollections(collections);
  } catch (error) {
    if (error instanceof Refused && (error.status === 401 || error.status === 403)) {
      find("key-error").textContent = error.message;
      if (!quietly) showError("rerank", "key", error.message);
    } else {
      find("key-error").textContent = error instanceof Refused ? error.message : say("gone", { detail: error.message });
    }
  }
  rerank.showRequest();
}

async function copy(button) {
  await navigator.clipboard.writeText(find(button.dataset.copies).textContent);
  button.textContent = say("copied");
  setTimeout(() => (button.textContent = say("copy")), 1500);
}

whenDrawn(() => {
  const rerank = new RerankTab();
  const search = new SearchTab();
  const tabs = [rerank, search];
  applyLanguage(tabs);
  find("docs").href = new URL("docs", window.location.href).href;
  find("language").addEventListener("click", () => {
    switchLanguage();
    applyLanguage(tabs);
  });
  find("theme").addEventListener("click", () => document.body.classList.toggle("dark"));
  find("key").addEventListener("input", wait(KEY_AFTER, () => loadLists(rerank, search, { quietly: false })));
  for (const button of document.querySelectorAll("[data-copies]")) button.addEventListener("click", () => copy(button));
  document.documentElement.dataset.ready = "true";
  loadLists(rerank, search, { quietly: true });
});
