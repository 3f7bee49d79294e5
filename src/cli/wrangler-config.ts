import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { parse } from "smol-toml";

/** What of a wrangler configuration is looked at; all of it is kept. */
export interface WranglerConfig {
  name: string;
  main: string;
  d1_databases?: { binding: string; database_name: string; database_id: string; migrations_dir?: string }[];
  r2_buckets?: { binding: string; bucket_name: string }[];
  queues?: { producers?: { queue: string }[]; consumers?: { queue: string; dead_letter_queue?: string }[] };
  workflows?: { name: string }[];
  assets?: { directory?: string };
  [other: string]: unknown;
}

/** The deployment's own, from `wrangler.toml` at the root. */
export const readWranglerConfig = (root: string): WranglerConfig =>
  parse(readFileSync(join(root, "wrangler.toml"), "utf8")) as unknown as WranglerConfig;

/** The same configuration, for a file that stands in `folder`: its paths lead where they led from `root`. */
export function movedConfig(config: WranglerConfig, root: string, folder: string): WranglerConfig {
  const moved = (path: string): string => relative(folder, join(root, path));
  const { main, d1_databases, assets } = config;
  return {
    ...config,
    main: moved(main),
    d1_databases: d1_databases?.map((d) => ({ ...d, migrations_dir: moved(d.migrations_dir ?? "migrations") })),
    ...(assets?.directory !== undefined && { assets: { ...assets, directory: moved(assets.directory) } }),
  };
}
