/** What an API key may do (contract 1). `*` covers all of them. */
export const SCOPES = [
  "jobs:read",
  "jobs:write",
  "jobs:trigger",
  "runs:read",
  "runs:write",
  "webhooks:read",
  "webhooks:write",
  "keys:manage",
  "*",
] as const;
export type Scope = (typeof SCOPES)[number];

export const covers = (held: readonly Scope[], wanted: Scope): boolean => held.includes("*") || held.includes(wanted);

/** The scopes of `wanted` that a holder of `held` may not hand on. */
export const beyond = (held: readonly Scope[], wanted: readonly Scope[]): Scope[] =>
  wanted.filter((scope) => !covers(held, scope));
