// The REST calls. The cookie goes along by itself; the header says to the
// gateway that it is the console that calls.

export const BASE = "/api/v1/namespaces/default";

// An answer that is not a success, or none at all (status 0).
export class ApiError extends Error {
  constructor(status, message, requestId) {
    super(message);
    this.status = status;
    this.requestId = requestId;
  }
}

// Told to whoever listens when a call is answered with 401.
export const signedOut = new EventTarget();

const AWAY = "The gateway does not answer.";

// {a: 1, b: ["x", "y"], c: null} -> "?a=1&b=x&b=y"
export function queryOf(fields = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    for (const one of [value].flat()) {
      if (one !== null && one !== undefined && one !== "") query.append(name, one);
    }
  }
  const text = query.toString();
  return text && `?${text}`;
}

// One call of any path; answers {data, headers, status}. `data` is null where
// there is no body.
export async function call(method, path, { query, body, headers, signal } = {}) {
  const request = {
    method,
    signal,
    cache: "no-store",
    headers: { "x-muster-console": "1", accept: "application/json", ...headers },
  };
  if (body !== undefined) {
    request.headers["content-type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  let answer;
  let text;
  try {
    answer = await fetch(path + queryOf(query), request);
    text = await answer.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, AWAY);
  }
  const data = parsed(text);
  if (answer.ok) return { data, headers: answer.headers, status: answer.status };
  const words = data?.message ?? `The gateway answered ${answer.status}.`;
  const error = new ApiError(answer.status, words, data?.request_id);
  if (error.status === 401 && !path.startsWith("/console/")) {
    signedOut.dispatchEvent(new CustomEvent("signed-out", { detail: error }));
  }
  throw error;
}

function parsed(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

// Calls below the namespace: get("/data-plane-keys", {limit: 50}, {signal}).
export const get = async (path, query, options) =>
  (await call("GET", BASE + path, { query, ...options })).data;

export const post = async (path, body, options) =>
  (await call("POST", BASE + path, { body, ...options })).data;

export const patch = async (path, body, options) =>
  (await call("PATCH", BASE + path, { body, ...options })).data;

export const put = async (path, options) => (await call("PUT", BASE + path, options)).data;

export const del = async (path, options) => (await call("DELETE", BASE + path, options)).data;

// What the contract wants for "these fields have one of these values":
// filters({status: "revoked", name: null}) leaves out what is empty.
export function filters(fields) {
  const given = Object.entries(fields).filter(([, value]) => value);
  return {
    filter_fields: given.map(([name]) => name),
    filter_ops: given.map(() => "IN"),
    filter_values: given.map(([, value]) => [value].flat().join("|")),
  };
}

export const signIn = (token) => call("POST", "/console/session", { body: { token } });

export const signOut = () => call("DELETE", "/console/session");
