// The tab "Watch".

import { find } from "../dom.js";
import { addWords } from "../words.js";
import { WORDS } from "./words.js";

addWords(WORDS);

export class WatchTab {
  constructor() {
    find("watch-shadow").addEventListener("click", () => find("tab-instructions-button").click());
  }

  refresh() {}

  learn() {}
}
