// The page's tabs, in their order. Each name has a fragment (NAME.html with a section of that id), a class, and a word
// of each language (`tab.NAME`). Rule: a class has refresh(), which writes everything again that depends on the
// language, and learn({library, collections}), which is called with what the key may list; null stands for nothing.

import { CompareTab } from "./compare/compare.js";
import { InstructionsTab } from "./instructions/instructions.js";
import { QualityTab } from "./quality/quality.js";
import { RerankTab } from "./rerank.js";
import { SearchTab } from "./search.js";
import { WatchTab } from "./watch/watch.js";

export const TABS = new Map([
  ["rerank", RerankTab],
  ["search", SearchTab],
  ["compare", CompareTab],
  ["instructions", InstructionsTab],
  ["quality", QualityTab],
  ["watch", WatchTab],
]);
