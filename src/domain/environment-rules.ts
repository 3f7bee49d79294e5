import { isVariableName, missingVariable } from "./env-template.ts";
import type { ErrorDetail } from "./error.ts";
import { type EndpointRules, endpointProblem } from "./job-rules.ts";

/** The variables that replace the URLs of an environment's jobs. */
export const ENDPOINT_VARIABLE = "ENDPOINT_URL";
export const FALLBACK_VARIABLE = "FALLBACK_ENDPOINT_URL";

export const MAX_VARIABLES = 100;
export const MAX_VARIABLE_CHARS = 4096;

/** What is wrong with a variable's name, or null. */
export const variableNameProblem = (name: string): string | null =>
  isVariableName(name) ? null : "is not a variable's name: 1 to 128 of A-Z, a-z, 0-9 and _, not beginning with a digit";

/** What is wrong with the variables of an environment as a whole. */
export function environmentProblems(variables: ReadonlyMap<string, string>, rules: EndpointRules): ErrorDetail[] {
  return [ENDPOINT_VARIABLE, FALLBACK_VARIABLE].flatMap((name) => {
    const url = variables.get(name);
    if (url === undefined) return [];
    const message = endpointProblem(url, rules) ?? missingVariable(url, (other) => variables.has(other));
    return message === null ? [] : [{ path: `variables.${name}`, message }];
  });
}
