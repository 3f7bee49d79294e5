import type { ImportPorts } from "./ports.ts";
import type { ImportCoordinatorApi, Work } from "./protocol.ts";

const PAGE_FILES = 1000;

/** What is to be known when an import has ended: its history and the end of its batches. All of it may be done twice. */
export async function finishImport(
  work: Work & { kind: "finish" },
  coordinator: ImportCoordinatorApi,
  ports: ImportPorts,
): Promise<void> {
  const { spec, name } = work;
  for (let after = 0; !spec.settings.dry_run; ) {
    const files = await coordinator.doneFiles(name, after, PAGE_FILES);
    if (files === null) return;
    if (files.length > 0) await ports.remember(spec, files);
    const last = files[files.length - 1];
    if (last === undefined || files.length < PAGE_FILES) break;
    after = last.number;
  }
  for (const batchId of work.batch_ids) await ports.seal(spec, batchId);
  if (!work.keepsStreams && !spec.settings.dry_run) await ports.forgetStreams(spec);
  const record = await coordinator.finished(name);
  if (record !== null) await ports.copy(record);
}
