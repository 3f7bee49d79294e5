/** An answer of the API that is not a success. */
export class ApiFailure extends Error {
  readonly status: number;

  constructor(method: string, path: string, status: number, body: string) {
    super(`${method} ${path} answered ${status}: ${body}`);
    this.name = "ApiFailure";
    this.status = status;
  }
}

export interface Api {
  get<T>(path: string): Promise<T>;
  post<T>(path: string, body?: unknown): Promise<T>;
  /** A body as it stands, such as NDJSON. */
  send<T>(path: string, body: BodyInit, contentType: string): Promise<T>;
}

/** JSON over HTTP with a bearer token. Every method throws `ApiFailure` where the answer is no success. */
export function createApi(url: string, token: string): Api {
  async function request<T>(
    method: string,
    path: string,
    body?: BodyInit,
    contentType = "application/json",
  ): Promise<T> {
    const headers: Record<string, string> = { authorization: `Bearer ${token}` };
    if (body !== undefined) headers["content-type"] = contentType;
    const init: RequestInit & { duplex?: "half" } = { method, headers, body, duplex: "half" };
    const response = await fetch(url + path, init);
    const text = await response.text();
    if (!response.ok) throw new ApiFailure(method, path, response.status, text);
    return (text === "" ? null : JSON.parse(text)) as T;
  }
  return {
    get: (path) => request("GET", path),
    post: (path, body) => request("POST", path, JSON.stringify(body ?? {})),
    send: (path, body, contentType) => request("POST", path, body, contentType),
  };
}
