// Requests to the server that the page came from, and the stream of this tab's events.

const KEY = "dmix-studio-tab";
const PATIENCE = 3; // refusals after which a page stops to wait for its id
const MARK = { "x-dmix-studio": "1" };

export let tab = sessionStorage.getItem(KEY) || newTab();

function newTab() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const name = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  sessionStorage.setItem(KEY, name);
  return name;
}

export const own = (path) => `/api/tabs/${tab}/${path}`;

/** Ask the server; an answer that is an error is thrown, in its words. */
export async function ask(method, path, body, type = "application/json") {
  const sent = body === undefined || type !== "application/json" ? body : JSON.stringify(body);
  let answer;
  try {
    answer = await fetch(path, { method, body: sent, headers: { ...MARK, ...(sent === undefined ? {} : { "content-type": type }) } });
  } catch {
    throw new Error("The server does not answer. Is `dmix studio` still running?");
  }
  const data = await answer.json();
  if (!answer.ok) throw new Error(data.message);
  return data;
}

/** Call `onEvent` with each event of this tab; the browser connects again by itself. */
export async function listen(onEvent, onState) {
  if (await isCopy()) tab = newTab();
  connect(onEvent, onState);
}

/** Whether another tab has this one's id, which the browser copies with a tab; of two that ask at once, one is the copy. */
function isCopy() {
  const channel = new BroadcastChannel(KEY), number = Math.random();
  let settled = false;
  channel.postMessage({ tab, number });
  return new Promise((resolve) => {
    const settle = (copied) => { settled = true; resolve(copied); };
    channel.onmessage = ({ data }) => {
      if (data.tab !== tab) return;
      if (!data.number) settle(true);
      else if (settled || number < data.number) channel.postMessage({ tab });
    };
    setTimeout(settle, 150, false);
  });
}

function connect(onEvent, onState, refusals = 0) {
  const stream = new EventSource(own("events"));
  stream.onmessage = ({ data }) => onEvent(JSON.parse(data));
  stream.onopen = () => { refusals = 0; onState(true); };
  stream.onerror = () => {
    onState(false);
    if (stream.readyState !== EventSource.CLOSED) return;
    // Refused. A copy of a tab that is frozen has heard nothing of it, and must not speak in its name.
    if (refusals + 1 === PATIENCE) tab = newTab();
    setTimeout(connect, 1000, onEvent, onState, refusals + 1);
  };
  addEventListener("pagehide", () => stream.close(), { once: true });
}
