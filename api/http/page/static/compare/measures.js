// Measures of how much two orders of the same candidates differ. The service computes the same in Python for shadows.

export const PERSISTENCE = 0.9; // of RBO: the first ten places have 86 % of the weight
export const DEPTH = 10; // of the overlap

/** Share of the first `depth` places that both orders fill with the same candidates; of shorter orders, of what could be. */
export function overlap(one, other, depth = DEPTH) {
  const most = Math.min(depth, Math.max(one.length, other.length));
  const first = new Set(other.slice(0, depth));
  return most ? one.slice(0, depth).filter((each) => first.has(each)).length / most : 1;
}

/** Rank-biased overlap of two orders of the same candidates, extrapolated: equation 32 of Webber, Moffat, Zobel 2010. */
export function rankBiasedOverlap(one, other, persistence = PERSISTENCE) {
  if (!one.length) return 1;
  const [seenOne, seenOther] = [new Set(), new Set()];
  let [common, weight, total] = [0, 1, 0];
  one.forEach((first, place) => {
    const second = other[place];
    common += first === second ? 1 : Number(seenOther.has(first)) + Number(seenOne.has(second));
    seenOne.add(first);
    seenOther.add(second);
    weight *= persistence;
    total += (weight * common) / (place + 1);
  });
  return ((1 - persistence) / persistence) * total + (weight * common) / one.length;
}

/** Kendall's tau-b of two scores per candidate, listed in the same order of candidates; null if either ties every pair. */
export function kendallTauB(one, other) {
  let [sum, untiedOne, untiedOther] = [0, 0, 0];
  for (let first = 0; first < one.length; first += 1) {
    for (let second = first + 1; second < one.length; second += 1) {
      const [way, otherWay] = [Math.sign(one[first] - one[second]), Math.sign(other[first] - other[second])];
      sum += way * otherWay;
      untiedOne += Math.abs(way);
      untiedOther += Math.abs(otherWay);
    }
  }
  return untiedOne && untiedOther ? sum / Math.sqrt(untiedOne * untiedOther) : null;
}
