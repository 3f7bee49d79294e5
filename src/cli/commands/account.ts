import { createClient } from "../../client/client.ts";
import { Printer } from "../printer.ts";
import { forgetProfile, loadProfile, saveProfile } from "../profile.ts";
import { type CommonOptions, type Context, EXIT } from "./context.ts";

/** Keeps address and key, once they have been seen to work. */
export async function login(options: CommonOptions & { url: string; key: string }): Promise<number> {
  const url = options.url.replace(/\/+$/, "");
  const printer = new Printer(options.json ?? false);
  const identity = await createClient({ url, key: options.key, retries: 1 }).call("GET /v1/whoami", {});
  const path = saveProfile({ url, key: options.key });
  printer.show({ url, ...identity }, () => `Logged in to ${url} as ${nameOf(identity)}; kept in ${path}`);
  return EXIT.ok;
}

export function logout(options: CommonOptions): number {
  forgetProfile();
  new Printer(options.json ?? false).show({ logged_in: false }, () => "Logged out");
  return EXIT.ok;
}

export async function whoami({ client, printer }: Context): Promise<number> {
  const identity = await client.call("GET /v1/whoami", {});
  const { url, key } = loadProfile();
  printer.fields(
    { url, ...identity },
    {
      url,
      key: `${key.slice(0, 12)}…`,
      actor: identity.actor_id,
      project: identity.project === null ? "all (admin)" : `${identity.project.name} (${identity.project.slug})`,
      scopes: identity.scopes.join(" "),
    },
  );
  return EXIT.ok;
}

const nameOf = (identity: { actor_id: string; project: { slug: string } | null }): string =>
  identity.project === null ? identity.actor_id : `${identity.actor_id} of the project ${identity.project.slug}`;
