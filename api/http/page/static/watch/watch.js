import { addWords } from "../words.js";
import { WORDS } from "./words.js";

addWords(WORDS);

export class WatchTab {
  refresh() {}

  learn() {}
}
