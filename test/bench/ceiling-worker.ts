/**
 * What the runtime can do at best: a bare queue whose consumer only makes the calls. Nothing is kept, counted or retried
 * beyond one immediate second try.
 *
 * `POST /run?first=&count=&url=&keys=` enqueues items; `POST /enqueue` enqueues each line of its body and calls nothing.
 */
interface Message {
  url: string | null;
  body: string;
}

interface CeilingEnv {
  CALLS: Queue<Message>;
}

const WIDTH = 50;
const BATCH = 100;

async function call({ url, body }: Message): Promise<void> {
  if (url === null) return;
  for (let attempt = 1; attempt <= 2; attempt++) {
    const headers = { "content-type": "application/json", "x-attempt": String(attempt) };
    const response = await fetch(url, { method: "POST", headers, body });
    await response.arrayBuffer();
    if (response.ok) return;
  }
}

/** At most `WIDTH` calls of the isolate in flight, whichever batch they came with. */
const waiting: { message: Message; done: () => void }[] = [];
let lines = 0;

async function line(): Promise<void> {
  lines++;
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    await call(next.message);
    next.done();
  }
  lines--;
}

function handle(message: Message): Promise<void> {
  return new Promise((done) => {
    waiting.push({ message, done });
  });
}

async function enqueue(env: CeilingEnv, messages: Iterable<Message>): Promise<number> {
  let count = 0;
  let batch: MessageSendRequest<Message>[] = [];
  const send = async () => {
    if (batch.length > 0) await env.CALLS.sendBatch(batch);
    count += batch.length;
    batch = [];
  };
  for (const body of messages) {
    batch.push({ body });
    if (batch.length === BATCH) await send();
  }
  await send();
  return count;
}

function* items(first: number, count: number, url: string, keys: number): Iterable<Message> {
  for (let n = first; n < first + count; n++) {
    yield { url, body: JSON.stringify(keys > 0 ? { n, key: `k${n % keys}` } : { n }) };
  }
}

function* bodies(text: string): Iterable<Message> {
  for (const body of text.split("\n")) if (body !== "") yield { url: null, body };
}

export default {
  async fetch(request, env): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/run") {
      const count = Number(searchParams.get("count"));
      const keys = Number(searchParams.get("keys") ?? 0);
      const first = Number(searchParams.get("first") ?? 0);
      return Response.json({ count: await enqueue(env, items(first, count, searchParams.get("url") ?? "", keys)) });
    }
    if (pathname === "/enqueue") return Response.json({ count: await enqueue(env, bodies(await request.text())) });
    return new Response("ok");
  },
  async queue(batch): Promise<void> {
    const all = batch.messages.map((message) => handle(message.body));
    while (lines < Math.min(WIDTH, waiting.length + lines)) line();
    await Promise.all(all);
  },
} satisfies ExportedHandler<CeilingEnv, Message>;
