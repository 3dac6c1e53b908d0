// Reads cases from standard input, writes what the page computes for each. test_compare_measures.py runs it.
import { readFileSync } from "node:fs";

const path = new URL("../../../../../api/http/page/static/compare/measures.js", import.meta.url);
const { kendallTauB, overlap, rankBiasedOverlap } = await import(`data:text/javascript,${encodeURIComponent(readFileSync(path, "utf8"))}`);
const found = JSON.parse(readFileSync(0, "utf8")).map(({ one, other, scores, others }) =>
  [overlap(one, other), rankBiasedOverlap(one, other), kendallTauB(scores, others)]);
process.stdout.write(JSON.stringify(found));
