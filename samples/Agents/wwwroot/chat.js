// The page keeps the conversation and sends the whole of it each time; the engine finds the cache that holds most of it.

const log = document.getElementById("log");
const hints = document.getElementById("hints");
const form = document.getElementById("form");
const text = document.getElementById("text");
const send = document.getElementById("send");
const stop = document.getElementById("stop");
const usage = document.getElementById("usage");
const status = document.getElementById("status");

let messages = [];
let running = null;
let ready = false;

function add(parent, tag, className, content) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = content;
  parent.append(element);
  return element;
}

function bubble(who, label) {
  const element = add(log, "article", `message ${who}`, "");
  element.setAttribute("aria-label", label);
  return element;
}

function follow() {
  log.scrollTop = log.scrollHeight;
}

function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) {
    count /= 1024;
    unit++;
  }
  return `${count.toFixed(count < 10 && unit > 0 ? 1 : 0)} ${units[unit]}`;
}

function number(count) {
  return count.toLocaleString("en");
}

// Server-sent events come in a response to a POST, which EventSource cannot read.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      return;
    }
    buffer += value;
    let end;
    while ((end = buffer.indexOf("\n\n")) >= 0) {
      const lines = buffer.slice(0, end).split("\n");
      buffer = buffer.slice(end + 2);
      const field = (name) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      yield { name: field("event"), data: JSON.parse(field("data")) };
    }
  }
}

// Shows an answer while it comes; returns it as a message of the conversation.
async function show(response, element) {
  const rounds = [];
  let answer = "", paragraph = null, thought = null, complete = false;
  for await (const { name, data } of events(response.body)) {
    switch (name) {
      case "reasoning":
        thought ??= add(element, "p", "thought", "");
        thought.textContent += data.delta;
        break;
      case "text":
        paragraph ??= add(element, "p", "answer", "");
        paragraph.textContent += data.delta;
        break;
      case "tool": {
        const call = Object.entries(data.arguments).map(([key, value]) => `${key}: ${value}`).join(", ");
        add(element, "div", "tool", `${data.name}(${call}) → ${data.result}`);
        while (rounds.length < data.round) {
          rounds.push([]);
        }
        rounds[data.round - 1].push({ id: data.id, name: data.name, arguments: data.arguments, result: data.result });
        paragraph = thought = null;
        break;
      }
      case "usage":
        usage.value = `${number(data.prompt_tokens)} prompt tokens, ${number(data.cached_prompt_tokens)} of them cached · `
          + `${number(data.completion_tokens)} answered · KV cache ${bytes(data.kv_bytes)} (${bytes(data.kv_bytes_uncompressed)} uncompressed) · `
          + `first token after ${Math.round(data.time_to_first_token_ms)} ms`;
        break;
      case "done":
        answer = data.answer;
        complete = !data.is_stopped;
        if (data.is_cut) {
          add(element, "p", "note", "The answer reached the token limit.");
        }
        if (data.is_stopped) {
          add(element, "p", "note", "Stopped: it only ever called tools. This message is not part of the conversation.");
        }
        break;
      case "error":
        throw new Error(data.message);
    }
    follow();
  }
  return complete ? { role: "assistant", content: answer, rounds: rounds.filter((round) => round.length > 0) } : null;
}

async function ask(content) {
  const question = { role: "user", content };
  hints.hidden = true;
  add(bubble("user", "You"), "p", "", content);
  const element = bubble("agent", "Agent");
  element.classList.add("busy");
  element.setAttribute("aria-busy", "true");
  follow();
  running = new AbortController();
  send.hidden = true;
  stop.hidden = false;
  try {
    const response = await fetch("api/chat", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ messages: [...messages, question] }),
      signal: running.signal,
    });
    if (!response.ok) {
      const problem = await response.json().catch(() => null);
      throw new Error(problem?.detail ?? `The server answered ${response.status}.`);
    }
    const answer = await show(response, element);
    if (answer) {
      messages.push(question, answer);
    }
  } catch (error) {
    if (running.signal.aborted) {
      add(element, "p", "note", "Stopped. The conversation goes on as if this had not been asked.");
    } else {
      element.classList.add("error");
      element.setAttribute("role", "alert");
      add(element, "p", "", error.message);
    }
  } finally {
    running = null;
    element.classList.remove("busy");
    element.removeAttribute("aria-busy");
    send.hidden = false;
    stop.hidden = true;
    text.focus();
    follow();
  }
}

function submit() {
  const content = text.value.trim();
  if (content.length === 0 || running || !ready) {
    return;
  }
  text.value = "";
  ask(content);
}

async function watch() {
  try {
    const response = await fetch("health");
    const health = await response.json();
    ready = response.ok;
    status.textContent = ready ? `${health.model ?? "the model"} is ready` : health.description;
  } catch {
    ready = false;
    status.textContent = "the server does not answer";
  }
  send.disabled = !ready;
  setTimeout(watch, ready ? 10000 : 500);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    submit();
  }
});
stop.addEventListener("click", () => running?.abort());
document.getElementById("reset").addEventListener("click", () => {
  running?.abort();
  messages = [];
  log.replaceChildren(hints);
  hints.hidden = false;
  usage.value = "no tokens yet";
  text.focus();
});
for (const hint of document.getElementsByClassName("hint")) {
  hint.addEventListener("click", () => {
    text.value = hint.textContent;
    submit();
  });
}
watch();
