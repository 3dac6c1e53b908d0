// What the tab "Watch" computes from a report of GET /v1/stability. No document, no network.

export const DAYS = 30; // that the service reports unless it is asked for others
export const FIGURES = ["overlap_at_10", "rbo", "top1_change_rate", "degraded"];

export function reportPath(collection, days) {
  const query = new URLSearchParams({ ...(collection ? { collection } : {}), ...(days ? { days } : {}) });
  return query.size ? `v1/stability?${query}` : "v1/stability";
}

export const isEmpty = ({ days, runs }) => days.length === 0 && runs.length === 0;

const dayOf = (at) => at.slice(0, 10);

/** Every day from the first to the last of these, both included. */
export function daysBetween(found) {
  const sorted = [...found].sort();
  const days = [];
  for (let at = Date.parse(sorted[0]); at <= Date.parse(sorted.at(-1)); at += 86_400_000) days.push(new Date(at).toISOString().slice(0, 10));
  return days;
}

/**
 * A line for each collection under each instruction, and one for each golden set: its last run of a day. Marks stand at
 * their day. `name` writes the name of a line: {collection, instruction}, or {name}.
 */
export function chartOf({ days, runs, marks }, figure, name) {
  const measured = runs.filter(({ measures }) => measures !== null);
  const all = [...days.map(({ day }) => day), ...measured.map(({ at }) => dayOf(at)), ...marks.map(({ at }) => dayOf(at))];
  const places = all.length ? daysBetween(all) : [];
  const values = new Map();
  const put = (key, day, value) => {
    if (!values.has(key)) values.set(key, new Array(places.length).fill(null));
    values.get(key)[places.indexOf(day)] = value;
  };
  for (const each of days) put(name(each), each.day, each[figure]);
  for (const run of [...measured].reverse()) put(name({ name: run.name }), dayOf(run.at), run.measures[figure]);
  const drawn = [...values].filter(([, own]) => own.some((value) => value !== null));
  return {
    places,
    series: drawn.map(([title, own], kind) => ({ name: title, values: own, kind })),
    marks: marks.map((mark) => ({ place: places.indexOf(dayOf(mark.at)), mark })),
  };
}
