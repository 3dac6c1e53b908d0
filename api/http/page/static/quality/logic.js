// What the tab "Quality" computes from files of `winnow eval`. No document, no network.

export const BYTES_MAX = 64 * 1024 * 1024; // of one file
const DRAWS = 2000; // of the bootstrap
const DRAWN_MAX = 4_000_000; // values drawn for one interval: a second at most
const SEED = 2026;

/** The object of --json, or the lines of --per-query. Throws an Error whose message is a key of words.js. */
export function readEvaluation(text) {
  const whole = parsed(text);
  if (Array.isArray(whole?.runs) && whole.runs.length && whole.runs.every((run) => typeof run?.name === "string" && isFigures(run.metrics))) {
    return { report: whole };
  }
  const lines = text.split("\n").filter((line) => line.trim());
  const queries = lines.map(parsed);
  if (queries.length && queries.every(isQuery)) return { queries };
  throw new Error("quality.notEvaluation");
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isFigures(found) {
  const figures = Object.values(found ?? {});
  return figures.length > 0 && figures.every(Number.isFinite);
}

function isQuery(found) {
  const runs = Object.values(found?.runs ?? {});
  return typeof found?.id === "string" && runs.length > 0 && runs.every(isFigures);
}

/** Names of the runs and of the measures that the files have, in the order of the report where there is one. */
export function namesOf({ report, queries }) {
  const runs = report ? report.runs.map(({ name }) => name) : Object.keys(queries[0].runs);
  const measures = Object.keys(report ? report.runs[0]?.metrics ?? {} : Object.values(queries[0].runs)[0] ?? {});
  return { runs, measures };
}

/** A value per query of a run; null where no file has them. */
export function valuesOf({ queries }, run, measure) {
  if (!queries) return null;
  const values = queries.map((each) => each.runs[run]?.[measure]);
  return values.every(Number.isFinite) ? values : null;
}

/**
 * Mean of each run, with an interval: of the mean by a bootstrap over the queries where the values are there
 * (`kind: "mean"`), else that of the difference to the first run, moved to the mean (`kind: "difference"`).
 */
export function meansOf(evaluation, measure) {
  const { report } = evaluation;
  const { runs } = namesOf(evaluation);
  return runs.map((name) => {
    const values = valuesOf(evaluation, name, measure);
    const mean = report?.runs.find((run) => run.name === name)?.metrics[measure] ?? meanOf(values);
    if (values) return { name, mean, ...bootstrap(values), kind: "mean" };
    const found = comparisonOf(report, name, runs[0], measure);
    return found ? { name, mean, low: mean - found.mean + found.low, high: mean - found.mean + found.high, kind: "difference" }
      : { name, mean, low: null, high: null, kind: null };
  });
}

/** The run whose mean differs most from the first one's: what to look at first. */
export function farthestOf(evaluation, measure) {
  const [first, ...others] = meansOf(evaluation, measure);
  return others.reduce((most, each) => (Math.abs(each.mean - first.mean) > Math.abs(most.mean - first.mean) ? each : most), others[0] ?? first).name;
}

/** A comparison as `run` minus `against`, whichever way round the report has it. */
export function comparisonOf(report, run, against, measure) {
  for (const each of report?.comparisons ?? []) {
    if (each.measure !== measure) continue;
    if (each.run === run && each.against === against) return each;
    if (each.run === against && each.against === run) return { ...each, run, against, mean: -each.mean, low: -each.high, high: -each.low };
  }
  return null;
}

const meanOf = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** How many resamples of so many values are drawn. */
export const drawsOf = (count) => Math.max(200, Math.min(DRAWS, Math.floor(DRAWN_MAX / count)));

/** The 95 % interval of the mean: percentiles of the means of resamples, the same each time. */
export function bootstrap(values, draws = drawsOf(values.length)) {
  const random = generator(SEED);
  const means = Array.from({ length: draws }, () => {
    let sum = 0;
    for (let count = 0; count < values.length; count += 1) sum += values[Math.floor(random() * values.length)];
    return sum / values.length;
  }).sort((one, other) => one - other);
  return { low: quantile(means, 0.025), high: quantile(means, 0.975) };
}

function quantile(sorted, share) {
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  return sorted[below] + (place - below) * (sorted[Math.min(below + 1, sorted.length - 1)] - sorted[below]);
}

/** Pseudo-random numbers in [0, 1): a 32-bit counter, mixed. */
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 4294967296;
  };
}

/** Differences of a run to another by query, largest win first; null where no file has them. */
export function differencesOf(evaluation, run, against, measure) {
  const [own, others] = [valuesOf(evaluation, run, measure), valuesOf(evaluation, against, measure)];
  if (!own || !others) return null;
  return evaluation.queries
    .map(({ id, text }, place) => ({ id, text: text ?? "", before: others[place], after: own[place], value: own[place] - others[place] }))
    .sort((one, other) => other.value - one.value || one.id.localeCompare(other.id));
}

const NO_DIFFERENCE = 1e-12; // sums of equal terms in another order differ by less

export function countsOf(differences) {
  const wins = differences.filter(({ value }) => value > NO_DIFFERENCE).length;
  const losses = differences.filter(({ value }) => value < -NO_DIFFERENCE).length;
  return { wins, losses, ties: differences.length - wins - losses };
}

/** The largest wins and losses, at most `count` of each. */
export function extremesOf(differences, count) {
  const { wins, losses } = countsOf(differences);
  return [...differences.slice(0, Math.min(count, wins)), ...differences.slice(differences.length - Math.min(count, losses))];
}

/** Curves of the report with a common x; null where a run has none. */
export function curvesOf(report, field, measure) {
  const found = (report?.runs ?? []).filter((run) => run[field]?.measure === measure && run[field].x.length > 1);
  if (!found.length) return null;
  const places = [...new Set(found.flatMap((run) => run[field].x))].sort((one, other) => one - other);
  const series = found.map((run, kind) => ({
    name: run.name,
    kind,
    values: places.map((x) => {
      const place = run[field].x.indexOf(x);
      return place < 0 ? null : run[field].y[place];
    }),
  }));
  return { places: places.map(String), series };
}
