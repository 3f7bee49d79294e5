const BRACE = 0x7b;
const BRACKET = 0x5b;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Whether arrays and objects of a well-formed JSON text stand more than so many levels deep. */
export function isNestedDeeper(json: string, levels: number): boolean {
  // Nearly every text has fewer openings than there may be levels: that is seen without looking at every character.
  return hasMore(json, levels) && depthOf(json) > levels;
}

function hasMore(json: string, openings: number): boolean {
  let left = openings;
  for (const opening of ["{", "["]) {
    for (let at = json.indexOf(opening); at !== -1; at = json.indexOf(opening, at + 1)) if (left-- === 0) return true;
  }
  return false;
}

function depthOf(json: string): number {
  let depth = 0;
  let deepest = 0;
  for (let at = 0; at < json.length; at++) {
    const c = json.charCodeAt(at);
    if (c === QUOTE) at = endOfString(json, at + 1);
    else if (c === BRACE || c === BRACKET) deepest = Math.max(deepest, ++depth);
    else if (c === BRACE + 2 || c === BRACKET + 2) depth--;
  }
  return deepest;
}

/** Of the closing quote. */
function endOfString(json: string, from: number): number {
  let at = from;
  for (; at < json.length && json.charCodeAt(at) !== QUOTE; at++) if (json.charCodeAt(at) === BACKSLASH) at++;
  return at;
}
