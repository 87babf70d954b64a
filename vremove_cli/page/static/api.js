// Everything that the page asks its server for. Addresses are relative, so the token stays in front of them.

export class Refusal extends Error {}

async function answer(response) {
  if (response.ok) return response.status === 204 ? null : response.json();
  const body = await response.json().catch(() => ({}));
  throw new Refusal(body.error || `the server answers ${response.status}: is \`vremove pick\` still running?`);
}

export async function get(path, values = {}) {
  const query = new URLSearchParams(values).toString();
  return answer(await fetch(`api/${path}${query ? `?${query}` : ""}`));
}

export async function post(path, body = {}) {
  return answer(await fetch(`api/${path}`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  }));
}

export async function upload(path, blob) {
  return answer(await fetch(`api/${path}`, { method: "POST", body: blob }));
}

// A picture by its number; always the decoded frame, never the browser's player.
export async function picture(path, signal) {
  const response = await fetch(`api/${path}`, { signal });
  if (!response.ok) await answer(response);
  return createImageBitmap(await response.blob());
}

// Where a shadow or reflection was found; null before the first erasure.
export async function effects(index) {
  const response = await fetch(`api/effects/${index}`);
  return response.status === 200 ? createImageBitmap(await response.blob()) : null;
}

// A mask: its picture and what the tracker says of it; null where there is none.
// With a point `at` as if it were clicked.
export async function mask(index, object, at) {
  const response = await fetch(`api/mask/${index}?${new URLSearchParams(at ? { object, at } : { object })}`);
  if (response.status === 204) return null;
  if (!response.ok) return answer(response);
  return {
    bitmap: await createImageBitmap(await response.blob()),
    confidence: Number(response.headers.get("x-confidence")),
    remark: response.headers.get("x-remark"),
  };
}
