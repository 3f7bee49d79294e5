import { beforeAll, test, vi } from "vitest";
import { holdsAtTheLane, holdsInTheEnd } from "./laws.ts";
import { Play } from "./play.ts";
import type { Step } from "./steps.ts";
import { EPOCH } from "./world.ts";
beforeAll(() => { vi.useFakeTimers({ toFake: ["Date"], now: EPOCH }); });
test("debug", async () => {
  const script = [{"do":"open","max":1,"threshold":null,"request":null},{"do":"chunk","which":0,"items":[{"payload":"{}","rejected":false,"identity":null,"priority":0,"key":null,"later":0,"ttl":null,"max":null,"version":null}],"kind":"next"},{"do":"chunk","which":0,"items":[{"payload":"{}","rejected":false,"identity":null,"priority":0,"key":"a","later":0,"ttl":null,"max":null,"version":0}],"kind":"next"}] as Step[];
  const play = new Play(999, 100, true);
  await play.begin();
  play.trace = true;
  for (const step of script) { await play.play(step); await holdsAtTheLane(play); }
  await holdsInTheEnd(play);
});
test("debug2", async () => {
  const play = new Play(1000, 100, true);
  await play.begin();
  console.log(await play.world.inside((i) => JSON.stringify((i as never as {lane: {settings: unknown}}).lane.settings)));
});
