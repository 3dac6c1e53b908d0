import { addWords } from "../words.js";
import { WORDS } from "./words.js";

addWords(WORDS);

export class QualityTab {
  refresh() {}

  learn() {}
}
