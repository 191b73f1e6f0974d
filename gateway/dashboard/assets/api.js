/** The gateway's HTTP API as the page uses it. The token, if one is needed, lives in this tab's session only. */

const TOKEN = "asoc.token";
const TIMEOUT_MS = 10_000;

/** An answer that is not 2xx, with the gateway's stable code. */
export class ApiError extends Error {
  /** @param {number} status @param {string} code @param {string} detail */
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

export const token = () => sessionStorage.getItem(TOKEN);

/** @param {string} value */
export function setToken(value) {
  if (value === "") sessionStorage.removeItem(TOKEN);
  else sessionStorage.setItem(TOKEN, value);
}

/**
 * @param {string} path
 * @param {{ accept?: string, signal?: AbortSignal }} [options]
 * @returns {Promise<Response>} whose status is 2xx
 */
export async function request(path, { accept = "application/json", signal } = {}) {
  const bearer = token();
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const response = await fetch(path, {
    headers: { Accept: accept, ...(bearer ? { Authorization: `Bearer ${bearer}` } : {}) },
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    cache: "no-store",
  });
  if (response.ok) return response;
  const problem = /** @type {Record<string, unknown>} */ (await response.json().catch(() => ({})));
  throw new ApiError(
    response.status,
    String(problem.code ?? ""),
    String(problem.detail ?? problem.title ?? `status ${response.status}`),
  );
}

/**
 * @template T
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
export async function getJson(path, signal) {
  const response = await request(path, signal ? { signal } : {});
  return /** @type {T} */ (await response.json());
}

/** EventSource cannot send headers: the token goes into the query. @param {string} path */
export function eventsUrl(path) {
  const bearer = token();
  if (!bearer) return path;
  return `${path}${path.includes("?") ? "&" : "?"}access_token=${encodeURIComponent(bearer)}`;
}
