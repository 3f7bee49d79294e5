/** Its clients end some paths with a slash and others not; a redirect would lose the body. */
export const withoutLastSlash = (path: string): string =>
  path.startsWith("/config/v1/") && path.endsWith("/") ? path.slice(0, -1) : path;
